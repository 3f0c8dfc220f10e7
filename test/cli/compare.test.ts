/** `holdfast compare`: when two answers are the same, and the command itself, on a text table. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { compareAnswers } from '../../src/cli/compare.js'
import type { DaemonAnswer } from '../../src/cli/query.js'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'

const rejects = { policy: { unknown: 'reject', outage: 'defer', outageAfterMs: 60_000 }, sensitive: false } as const
const defers = { policy: { unknown: 'defer', outage: 'defer', outageAfterMs: 60_000 }, sensitive: false } as const
const finds = (value: string): DaemonAnswer => ({ kind: 'found', value })
const lacks: DaemonAnswer = { kind: 'absent' }
const defersWith = (text: string): DaemonAnswer => ({ kind: 'unavailable', text })
const down = unavailable('source-down', 'refused')

t.test('two answers are the same, or differ, or one side could not answer', async t => {
  const deferred = defersWith('temp: unknown-deferred: not in the table; this node defers unknown recipients')
  for (const [about, direct, reply, map, verdict] of [
    ['one value', found(byteString('ä')), finds('ä'), rejects, 'same'],
    ['two values', found(byteString('a')), finds('b'), rejects, 'differs'],
    ['both absent', absent, lacks, rejects, 'same'],
    ['missing in the daemon', found(byteString('a')), lacks, rejects, 'differs'],
    ['missing in the table', absent, finds('a'), rejects, 'differs'],
    ['absent, which this node defers', absent, deferred, defers, 'same'],
    ['known to the daemon, absent and deferred here', absent, finds('a'), defers, 'differs'],
    ['the daemon can\'t say', absent, defersWith('temp: timeout: late'), rejects, 'not asked'],
    ['the table can\'t be asked', down, finds('a'), rejects, 'not asked'],
    ['neither can say', down, defersWith('temp: source-down: refused'), rejects, 'not asked'],
  ] as const) t.equal(compareAnswers(direct, reply, map).verdict, verdict, about)
})

t.test('values of a sensitive map are compared, but not shown', async t => {
  const comparison = compareAnswers(
    found(byteString('user:secret1')), finds('user:secret2'), { ...rejects, sensitive: true },
  )
  t.equal(comparison.verdict, 'differs')
  t.notMatch(JSON.stringify(comparison), 'secret')
})

t.test('the command prints the keys that differ, and its exit code says so', async t => {
  const holdfast = await startHoldfast(dir => {
    writeFileSync(join(dir, 'table'), 'ann@a.example x@b.example\nbob@a.example y@b.example\n@c.example z@b.example\n')
    return `recipient_delimiter: "+"\nhealth: "off"\nlisten:\n  - socketmap: unix:${dir}/s\nmaps:\n  alias:\n    search: virtual\n    text: table\n`
  })
  t.teardown(() => holdfast.kill())
  const compare = (keys: string, file = '-') =>
    run(
      process.execPath, [mainFile, 'compare', 'alias', '--config', join(holdfast.dir, 'holdfast.yaml'), '--keys', file],
      { stdin: keys },
    )
  const keys = 'ann@a.example\nann+tag@a.example\nBob@A.example\n\nany@c.example\nnobody@a.example\r\n'

  t.match(
    await compare(keys), { code: 0, stdout: '', stderr: /5 keys, 4 found in the tables, 0 with different/ }, 'the same',
  )

  t.match(await compare('who@a.example\n'), { code: 0, stderr: /1 keys, 0 found .*\n.*are they keys of this map\?/ })

  // The daemon has read the table; whoever asks it now reads the new one.
  writeFileSync(join(holdfast.dir, 'table'), 'ann@a.example x@b.example\n@c.example w@b.example\n')
  const changed = await compare(keys)
  t.equal(changed.code, 1)
  t.strictSame(changed.stdout.split('\n').sort(), [
    '', 'Bob@A.example\tabsent\tfound: y@b.example', 'any@c.example\tfound: w@b.example\tfound: z@b.example',
  ])

  t.match(await compare('', join(holdfast.dir, 'none')), { code: 66, stderr: /keys can't be read/ }, 'no such file')
  await holdfast.kill()
  t.match(
    await compare('ann@a.example\n'), { code: 75, stdout: /^ann@a\.example\tfound: x@b\.example\tunavailable: / },
    'no daemon',
  )
})
