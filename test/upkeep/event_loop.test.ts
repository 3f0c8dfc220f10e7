/** What goes through all that a map knows, at 500,000 rows: lookups have their turns meanwhile. */
import t from 'tap'
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Memory } from '../../src/caches/memory.js'
import { createLog } from '../../src/log.js'
import type { MysqlMap } from '../../src/lookup/maps.js'
import { byteString, found } from '../../src/outcome.js'
import { Snapshots } from '../../src/upkeep/snapshots.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { stage } from '../lookup/stage.js'

const rows = 500_000
/** Of a snapshot and of a change of all entries. */
const perTurn = 500

/** What this thread has used (ms), however busy the machine is. */
const cpuMs = (): number => Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ', 1)[0]) / 1e6

t.setTimeout(180_000)

t.test(`the event loop has its turns while ${rows} rows are saved or flushed`, async t => {
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const { clock, open } = stage({})
  const memory = new Memory({ entries: rows, bytes: 1e9, absentEntries: 100 })
  const lookup = open({}, memory)
  for (let row = 0; row < rows; row++) {
    lookup.known.keep(`user${row}@mail.example.com`, found(byteString(`box${row}@store.example.net`)), clock.now())
  }
  const map = {
    kind: 'mysql', name: 'alias', lookup, memory, trust: lookup.trust, identity: lookup.known.identity,
    config: { sensitive: false, absence: lookup.known.absence },
  } as unknown as MysqlMap
  const log = createLog({ level: 'error', format: 'text', journal: false }, line => t.fail(line), Date.now)
  const snapshots = new Snapshots({
    current: () => ({ path: `${folder}/snapshot`, maps: new Map([['alias', map]]) }), log, clock,
  })
  /** The turns until `isDone`, and the most CPU (ms) that this process used in one of them. */
  const turnsOf = async (title: string, isDone: () => boolean): Promise<void> => {
    let turns = 0
    let longestMs = 0
    const startedAt = performance.now()
    for (; !isDone(); turns++) {
      const before = cpuMs()
      await nextTurn()
      longestMs = Math.max(longestMs, cpuMs() - before)
    }
    t.ok(turns >= rows / perTurn, `${title}: ${turns} turns`)
    t.comment(`${title}: ${Math.round(performance.now() - startedAt)} ms, ${longestMs.toFixed(1)} ms of CPU in a turn at most`)
  }
  let isSaved = false
  void snapshots.save().then(() => { isSaved = true })
  await turnsOf('the first snapshot', () => isSaved)
  for (let row = 0; row < rows; row++) memory.touch(`user${row}@mail.example.com`)
  isSaved = false
  void snapshots.save().then(() => { isSaved = true })
  await turnsOf('all rows appended', () => isSaved)
  // It comes to the last key first.
  let last = ''
  for (const key of memory.foundKeys()) last = key
  const entry = memory.peek(last)
  const before = cpuMs()
  lookup.flush(null, clock.now())
  t.comment(`a flush of everything: ${(cpuMs() - before).toFixed(1)} ms of CPU before it returns`)
  await turnsOf('a flush of everything', () => entry === undefined || entry.staleAt <= clock.now())
  await snapshots.close()
})
