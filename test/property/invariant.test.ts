/**
 * Random histories of a mail site (world.ts): two nodes, each as the daemon opens it by its configuration, with three
 * tables on two servers, a Redis, snapshots, copies, `changes:`, clocks. Rows come, change and go; servers are out,
 * hang, lose tables, are restored in the order of their keys, stand still, or stand behind a balancer; nodes stop, are
 * killed, reload, join; Redis is lost, slow, emptied, evicts, or takes no writes; somebody flushes, trusts, sets a
 * clock. Time, disk and network are the test's own (machine.ts), all else is real. In each history:
 *
 * - a key that a node knew is never absent while its row is there, whatever the servers say (rules 1 to 4, 10);
 * - while all is well, no key that has a row is absent but within absent_for of its insertion (rules 1, 6);
 * - a known key is found in every outage, also after kill -9, but for what was learned in the last 30 s (7, 10, 16);
 * - what is fresh was true within fresh_for, and since the last flush of it (11, 12);
 * - a fallback rejects nobody who exists before the servers have been out for outage_after (13);
 * - keys that are made up push no known one out (14);
 * - while all is well, every key has an answer, and a doubt ends (4); rows that come and go by the clock begin none (5);
 *   an answer comes within the deadline, and is of this definition of the map.
 *
 * What fails when the code of a rule is taken out: `node dist/test/property/without_rules.js`.
 *
 * HOLDFAST_SEED and HOLDFAST_SEQUENCES choose others than the first 300; 10,000 take an hour.
 */
import t from 'tap'
import { messageOf } from '../../src/log.js'
import { historyOf, writtenHistories } from './history.js'
import type { Setting } from './node.js'
import { Play } from './play.js'
import type { Operation } from './play.js'

const firstSeed = Number(process.env['HOLDFAST_SEED'] ?? 1)
const sequences = Number(process.env['HOLDFAST_SEQUENCES'] ?? 300)

/** The beginning of the titles of the written histories to play. */
const onlyRule = process.env['HOLDFAST_RULE'] ?? ''

const play = (seed: number, setting: Setting, operations: readonly Operation[]): Promise<string | null> =>
  new Play(seed, setting).run(operations).catch((error: unknown) => `it threw: ${messageOf(error)}`)

/** The shortest history that still fails, found by leaving out parts of ever smaller size. */
const shrink = async (seed: number, setting: Setting, failing: readonly Operation[]): Promise<readonly Operation[]> => {
  let shortest = failing
  for (let size = Math.ceil(failing.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < shortest.length;) {
      const fewer = [...shortest.slice(0, start), ...shortest.slice(start + size)]
      if (await play(seed, setting, fewer) === null) start += size
      else shortest = fewer
    }
  }
  return shortest
}

t.setTimeout(1_800_000)

for (const [title, { setting, operations }] of writtenHistories) {
  if (!title.startsWith(onlyRule)) continue
  t.test(title, async t => {
    for (const seed of [1, 2, 3]) t.equal(await play(seed, setting, operations), null, `seed ${seed}`)
  })
}

const title = `${sequences} histories from seed ${firstSeed} on: no answer breaks the rules`
t.test(title, { timeout: 1_800_000 }, async t => {
  for (let seed = firstSeed; seed < firstSeed + sequences; seed++) {
    const { setting, operations } = historyOf(seed)
    if (await play(seed, setting, operations) === null) continue
    const shortest = await shrink(seed, setting, operations)
    const problem = await play(seed, setting, shortest) ?? ''
    t.fail(`seed ${seed}: ${problem}`, { setting, operations: shortest.map(each => JSON.stringify(each)) })
    return
  }
  t.pass('all of them')
})
