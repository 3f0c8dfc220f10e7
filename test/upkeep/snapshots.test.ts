import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { Memory } from '../../src/caches/memory.js'
import { readPieces, writePieces } from '../../src/caches/piece_file.js'
import { createLog } from '../../src/log.js'
import type { MapLookup } from '../../src/lookup/lookup.js'
import type { MysqlMap } from '../../src/lookup/maps.js'
import { absent, byteString, found } from '../../src/outcome.js'
import { Snapshots } from '../../src/upkeep/snapshots.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { aDay, down, minute, stage } from '../lookup/stage.js'
import type { Changes } from '../lookup/stage.js'

const emptyMemory = (): Memory => new Memory({ entries: 1_000, bytes: 10_000_000, absentEntries: 100 })

/** A map whose node saves to a file. */
const openStage = (t: Test, rows: Readonly<Record<string, string>>, changes: Changes = {}) => {
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const path = join(folder, 'snapshot')
  const staged = stage(rows, changes)
  const lines: string[] = []
  const log = createLog(
    { level: 'debug', format: 'text', journal: false }, line => { lines.push(line) }, () => staged.clock.now(),
  )
  const nodeOf = (lookup: MapLookup & { readonly trust: MysqlMap['trust'] }) => {
    const map = {
      kind: 'mysql', name: 'alias', lookup, memory: lookup.known.memory, trust: lookup.trust, identity: lookup.known.identity,
      config: { sensitive: false, absence: lookup.known.absence },
    } as unknown as MysqlMap
    const place = { path, maps: new Map([['alias', map]]) }
    return { place, snapshots: new Snapshots({ current: () => place, log, clock: staged.clock }) }
  }
  /** A node that starts with what the file holds. */
  const start = async (settings: Parameters<typeof staged.open>[0] = {}) => {
    const lookup = staged.open(settings, emptyMemory())
    const { place, snapshots } = nodeOf(lookup)
    await snapshots.recall(place)
    return { lookup, snapshots }
  }
  return { ...staged, path, lines, start, nodeOf }
}

t.test('what was learned more than 30 s before a kill is known after it, and is stale', async t => {
  const { ask, clock, source, start, path } = openStage(t, { 'info@example.com': 'a@b', 'new@example.com': 'c@d' })
  const first = await start()
  await ask('info@example.com', first.lookup)
  await ask('info+x@example.com', first.lookup)
  await clock.advance(30_000)
  await first.snapshots.save()
  const size = readFileSync(path).length
  await ask('new@example.com', first.lookup)
  await clock.advance(30_000)
  await first.snapshots.save()
  t.ok(readFileSync(path).length > size, 'appended')
  source.fault = down
  const second = await start()
  t.match(await ask('info@example.com', second.lookup), { kind: 'found', value: 'a@b', age: 'stale' })
  t.match(await ask('info+x@example.com', second.lookup), { kind: 'found', value: 'a+x@b', age: 'stale' })
  t.match(await ask('new@example.com', second.lookup), { kind: 'found', value: 'c@d', age: 'stale' })
})

t.test('nothing is written while nothing changes', async t => {
  const { ask, start, path } = openStage(t, { 'info@example.com': 'a@b' })
  const { lookup, snapshots } = await start()
  await ask('info@example.com', lookup)
  await snapshots.save()
  const before = readFileSync(path)
  await ask('info@example.com', lookup)
  await snapshots.save()
  t.strictSame(readFileSync(path), before)
})

t.test('a crash in the middle of a write loses that write alone', async t => {
  const { ask, start, path, source } = openStage(t, { 'info@example.com': 'a@b' })
  const { lookup, snapshots } = await start()
  await ask('info@example.com', lookup)
  await snapshots.save()
  appendFileSync(path, 'half a piece')
  source.fault = down
  const second = await start()
  t.match(await ask('info@example.com', second.lookup), { kind: 'found', age: 'stale' })
})

t.test('a confirmed deletion is not found again after a restart', async t => {
  const { ask, clock, start, source } = openStage(t, { 'info@example.com': 'a@b' })
  const { lookup, snapshots } = await start()
  await ask('info@example.com', lookup)
  await snapshots.save()
  source.rows.delete('info@example.com')
  await clock.advance(5 * minute)
  t.match(await ask('info@example.com', lookup), { kind: 'found', age: 'stale' })
  await snapshots.save()
  const between = await start()
  t.ok((between.lookup.known.memory.peek('info@example.com')?.contradictedAt ?? 0) > 0, 'the contradiction is kept')
  await clock.advance(5 * minute)
  t.equal(await ask('info@example.com', lookup), absent)
  await snapshots.save()
  const second = await start()
  t.equal(await ask('info@example.com', second.lookup), absent)
})

t.test('an absence that passes mail stands in after a restart, too', async t => {
  const { ask, start, source } = openStage(t, {}, { search: 'exact', absence: { does: 'passes' } })
  const { lookup, snapshots } = await start()
  await ask('stranger@example.org', lookup)
  await snapshots.save()
  source.fault = down
  const second = await start()
  t.equal(await ask('stranger@example.org', second.lookup), absent)
  t.match(await ask('another@example.org', second.lookup), down)
})

t.test('a snapshot holds the absences of recipients that are known elsewhere', async t => {
  const { ask, start, source } = openStage(t, {}, { isKnownElsewhere: () => true })
  const { lookup, snapshots } = await start()
  await ask('user@example.com', lookup)
  await snapshots.save()
  source.fault = down
  t.equal(await ask('user@example.com', (await start()).lookup), absent)
})

t.test('entries of another definition are kept aside until it is back', async t => {
  const { ask, start, source, path } = openStage(t, { 'info@example.com': 'a@b' })
  const first = await start()
  await ask('info@example.com', first.lookup)
  await first.snapshots.close()
  source.fault = down
  const mistaken = await start({ definition: 'fedcba9876543210' })
  t.match(await ask('info@example.com', mistaken.lookup), down)
  await mistaken.snapshots.close()
  const mended = await start()
  t.match(await ask('info@example.com', mended.lookup), { kind: 'found', age: 'stale' })
  await mended.snapshots.close()
  t.strictSame(readdirSync(dirname(path)), ['snapshot'])
  t.match(await ask('info@example.com', (await start()).lookup), { kind: 'found', age: 'stale' })
})

t.test('what does not fit is kept aside beside what is kept aside already', async t => {
  const { ask, start, source, clock } = openStage(t, { 'info@example.com': 'a@b', 'new@example.com': 'a@b' })
  const definition = 'fedcba9876543210'
  const of = async (key: string, settings: Parameters<typeof start>[0], isDown = true) => {
    source.fault = isDown ? down : null
    const { lookup, snapshots } = await start(settings)
    const answer = await ask(key, lookup)
    await snapshots.close()
    await clock.advance(minute)
    return answer
  }
  await of('info@example.com', {}, false)
  t.match(await of('info@example.com', { definition }), down, 'the first is kept aside')
  await of('new@example.com', { definition }, false)
  t.match(await of('new@example.com', { definition: '0123456789abcdef' }), down, 'and the second')
  t.match(await of('new@example.com', { definition }), { kind: 'found' })
  t.match(await of('info@example.com', {}), { kind: 'found' })
})

t.test('what a node kept aside that was off for a week before is read when its map is mended', async t => {
  const { ask, clock, start, source, path } = openStage(t, { 'info@example.com': 'a@b' })
  const first = await start()
  await ask('info@example.com', first.lookup)
  await first.snapshots.close()
  const weekAgo = clock.now() / 1_000 - 8 * 86_400
  utimesSync(path, weekAgo, weekAgo)
  const mistaken = await start({ definition: 'fedcba9876543210' })
  await mistaken.snapshots.close()
  source.fault = down
  t.match(await ask('info@example.com', (await start()).lookup), { kind: 'found', age: 'stale' })
})

t.test('what is kept aside, and is of use again, stays until it is saved elsewhere', async t => {
  const { ask, start, source, path } = openStage(t, { 'info@example.com': 'a@b' })
  const first = await start()
  await ask('info@example.com', first.lookup)
  await first.snapshots.close()
  const mistaken = await start({ definition: 'fedcba9876543210' })
  await mistaken.snapshots.close()
  const mended = await start()
  // Nothing can be written.
  mkdirSync(`${path}.new`)
  await mended.snapshots.save()
  t.match(mended.snapshots.problem, { text: /can't be written/ })
  source.fault = down
  t.match(await ask('info@example.com', (await start()).lookup), { kind: 'found', age: 'stale' })
})

t.test('an entry from too long ago is of no use', async t => {
  const { ask, clock, start, source } = openStage(t, { 'info@example.com': 'a@b' })
  const { lookup, snapshots } = await start()
  await ask('info@example.com', lookup)
  await snapshots.close()
  await clock.advance(7 * aDay + minute)
  source.fault = down
  t.match(await ask('info@example.com', (await start()).lookup), down)
})

t.test('a file of another format is not used', async t => {
  const { start, path, lines } = openStage(t, {})
  writeFileSync(path, 'holdfast snapshot 2\n')
  const { lookup } = await start()
  t.strictSame([...lookup.known.memory.keysToSave()], [])
  t.ok(lines.some(line => line.includes('snapshot: ')))
})

t.test('a file from before it named its maps is read by their names', async t => {
  const { ask, start, path, source } = openStage(t, { 'info@example.com': 'a@b' })
  const first = await start()
  await ask('info@example.com', first.lookup)
  await first.snapshots.close()
  const pieces: Buffer[] = []
  await readPieces(path, piece => { pieces.push(piece) })
  await writePieces(path, [Buffer.from('["holdfast snapshot",3]'), ...pieces.slice(1)])
  source.fault = down
  t.match(await ask('info@example.com', (await start()).lookup), { kind: 'found', value: 'a@b', age: 'stale' })
})

t.test('found answers from a snapshot are reported to whoever asks for that', async t => {
  const heard: string[] = []
  const { ask, start } = openStage(t, { 'info@example.com': 'a@b' }, { onFound: value => { heard.push(value) } })
  const { lookup, snapshots } = await start()
  await ask('info@example.com', lookup)
  await snapshots.close()
  await start()
  t.strictSame(heard, ['a@b', 'a@b'])
})

t.test('lookups are answered between 200 entries, whether all is saved or what changed', async t => {
  const { clock, lookup, nodeOf } = openStage(t, {}, { absence: { does: 'passes' } })
  const known = lookup.known
  const learn = (): void => {
    for (let number = 0; number < 900; number++) {
      known.keep(`user${number}`, found(byteString('box')), clock.now())
      if (number % 9 === 0) known.keep(`stranger${number}`, absent, clock.now())
    }
  }
  let inATurn = 0
  let most = 0
  const toSave = known.memory.toSave.bind(known.memory)
  known.memory.toSave = key => {
    most = Math.max(most, ++inATurn)
    return toSave(key)
  }
  let isOver = false
  const turn = (): void => {
    inATurn = 0
    if (!isOver) setImmediate(turn)
  }
  turn()
  learn()
  const { snapshots } = nodeOf(lookup)
  await snapshots.save()
  t.equal(most, 200, 'all')
  learn()
  await snapshots.save()
  t.equal(most, 200, 'what changed')
  isOver = true
})

t.test('the next save works even if somebody removed the old file, which was to be kept aside', async t => {
  const { ask, start, path } = openStage(t, { 'info@example.com': 'a@b' })
  const first = await start()
  await ask('info@example.com', first.lookup)
  await first.snapshots.close()
  const changed = await start({ definition: 'fedcba9876543210' })
  rmSync(path)
  await ask('info@example.com', changed.lookup)
  await changed.snapshots.close()
  t.ok(existsSync(path))
})

t.test('a save that fails is a problem since the first one, until a save succeeds', async t => {
  const { ask, clock, start, path } = openStage(t, { 'info@example.com': 'a@b' })
  const { lookup, snapshots } = await start()
  await ask('info@example.com', lookup)
  mkdirSync(path)
  writeFileSync(join(path, 'other'), '')
  const since = clock.now()
  await snapshots.save()
  await clock.advance(minute)
  await snapshots.save()
  t.match(snapshots.problem, { text: /^\S+ can't be written: /, since })
  rmSync(path, { recursive: true })
  await snapshots.save()
  t.equal(snapshots.problem, null)
})
