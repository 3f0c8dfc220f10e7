/** The completion in a real, interactive bash on a terminal, with the Tab key. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'

t.test('bash completes commands, options, files and the names of the maps, and expands nothing', async t => {
  const dir = freshFolder()
  writeFileSync(join(dir, 'a'), 'key value\n')
  // A name may hold what a shell would run.
  writeFileSync(join(dir, 'own.yaml'), 'listen:\n  - socketmap: unix:/run/s\nhealth: off\nmaps:\n  virtual_alias: {search: virtual, text: a}\n  zz$(touch${IFS}ran): {search: exact, text: a}\n')
  mkdirSync(join(dir, 'bin'))
  writeFileSync(join(dir, 'bin/holdfast'), `#!/bin/sh\nexec ${process.execPath} ${mainFile} "$@"\n`, { mode: 0o755 })
  const lines = new Map([
    ['holdfast stat\t', 'status'],
    ['holdfast status --wa\t--js\t', 'status --watch --json'],
    ['holdfast query --config ow\tvirt\tkey', 'query --config own.yaml virtual_alias key'],
    ['holdfast explain key --config own.yaml --map v\t', 'explain key --config own.yaml --map virtual_alias'],
    ['holdfast check ow\t', 'check own.yaml'],
    ['holdfast adopt --config-dir b\t', 'adopt --config-dir bin/'],
    ['holdfast manual holdfast.\t', 'manual holdfast.yaml'],
    ['holdfast help fl\t', 'help flush'],
    ['holdfast trust --config own.yaml zz\t', 'trust --config own.yaml zz$(touch${IFS}ran)'],
  ])
  const setUp = 'source <(holdfast completion bash); holdfast() { if [[ $1 == completion ]]; then command holdfast "$@"; else echo "typed: $*."; fi; }\n'
  const { stdout } = await run('script', ['-qec', 'bash --norc --noprofile -i', '/dev/null'], {
    cwd: dir, env: { PATH: `${dir}/bin:/usr/bin:/bin`, TERM: 'dumb', HOME: dir, PS1: '> ' }, stdin: `${setUp}${[...lines.keys()].join('\n')}\nexit\n`,
  })
  for (const wanted of lines.values()) t.match(stdout, `typed: ${wanted}.`, stdout)
  t.notOk(existsSync(join(dir, 'ran')))
})
