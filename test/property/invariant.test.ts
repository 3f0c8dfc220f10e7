/**
 * Random histories of a mail site (world.ts): two nodes with the real code from the configuration to the answer, three
 * tables on two servers, a Redis, snapshots, copies and `changes:`. Rows are inserted, changed and deleted. Servers go
 * down, hang, lose tables, are restored in the order of their keys, get no changes any more, or are reached through a
 * balancer. Nodes stop, are killed, reload, join. Redis goes down, gets slow, loses content, refuses writes. An
 * administrator flushes, trusts a table, sets a clock. Time, disk and network are simulated (machine.ts). The numbers
 * are those of the rules in cuts.ts. In each history:
 *
 * - a key that a node knew is never absent while its row exists, whatever the servers say (rules 1 to 4, 10);
 * - while no server has a fault, no key that has a row is absent later than absent_for after its insertion (1, 6);
 * - a known key is found in every outage, even after kill -9, except one learned in the last 30 s (7, 10, 16);
 * - a fresh answer was true within the last fresh_for, and is no older than the last flush of its key (11, 12);
 * - a fallback refuses no existing recipient before all servers have been out for outage_after (13);
 * - made-up keys push no known key out of memory (14);
 * - while no server has a fault, every key gets an answer, and a doubt ends (4); rows that end by the clock begin no
 *   doubt (5); each answer comes within the deadline, from the map's present definition.
 *
 * `node dist/test/property/without_rules.js` shows which tests fail when the code of a rule is taken out.
 *
 * HOLDFAST_SEED and HOLDFAST_SEQUENCES choose other histories than the first 300; 10,000 take an hour.
 */
import t from 'tap'
import { messageOf } from '../../src/log.js'
import { historyOf, writtenHistories } from './history.js'
import type { Setting } from './node.js'
import { Play } from './play.js'
import type { Operation } from './play.js'

const firstSeed = Number(process.env['HOLDFAST_SEED'] ?? 1)
const sequences = Number(process.env['HOLDFAST_SEQUENCES'] ?? 300)

/** Only written histories whose title begins like this are played; by default all. */
const onlyRule = process.env['HOLDFAST_RULE'] ?? ''

const play = (seed: number, setting: Setting, operations: readonly Operation[]): Promise<string | null> =>
  new Play(seed, setting).run(operations).catch((error: unknown) => `it threw: ${messageOf(error)}`)

/** Shortens a failing history: leaves out ever smaller parts, as long as the rest still fails. */
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
