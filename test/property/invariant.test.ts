/**
 * Random histories of table, nodes, Redis and clock, and what must hold in
 * each of them:
 *
 * - no key that has a row is answered absent, but within absent_for of the row's insertion, and not once it was flushed;
 * - no deleted row is found for longer than fresh_for while the table is well, or than stale_for ever;
 * - what is called fresh was the table's word within fresh_for; a row nearer to the key is not passed over for longer;
 * - a key that was found is found in every outage until it expires, and while the table is well every key has an answer;
 * - an answer comes within the deadline, is of this definition of the map, and carries the sender's extension.
 *
 * HOLDFAST_SEED and HOLDFAST_SEQUENCES choose others than the first 10,000.
 */
import t from 'tap'
import { askedKeys, play, randomFrom, rowKeys } from './world.js'
import type { Operation, RedisFault, Setting, TableFault } from './world.js'

const firstSeed = Number(process.env['HOLDFAST_SEED'] ?? 1)
const sequences = Number(process.env['HOLDFAST_SEQUENCES'] ?? 10_000)

const tableFaults: readonly TableFault[] = ['none', 'none', 'none', 'down', 'hung', 'slow', 'flaky', 'truncated']
const redisFaults: readonly RedisFault[] = ['none', 'none', 'down', 'hung', 'read-only', 'emptied']
/** Around each time that means something: jitter and round trips, deadlines, absent, recheck, fresh, stale. */
const pauses = [20, 350, 2_100, 5_500, 9_000, 13_000, 49_000, 66_000, 240_000, 700_000]

const draw = (seed: number): { setting: Setting, operations: Operation[] } => {
  const random = randomFrom(seed ^ 0x5eed)
  const oneOf = <T>(choices: readonly T[]): T => {
    const choice = choices[Math.floor(random() * choices.length)]
    if (choice === undefined) throw new Error('nothing to choose from')
    return choice
  }
  const node = () => oneOf([0, 0, 0, 1] as const)
  const setting: Setting = { guard: random() < 0.5, smallMemory: random() < 0.2, staleForMs: oneOf([600_000, 600_000, 600_000, 0]) }
  const deletions = setting.guard ? 0.01 : 0.06
  const operations = Array.from({ length: 10 + Math.floor(random() * 50) }, (): Operation => {
    const kind = random()
    if (kind < 0.48) return { do: 'ask', node: node(), key: oneOf(askedKeys) }
    if (kind < 0.5) return { do: 'flush', key: oneOf(rowKeys) }
    if (kind < 0.7) return { do: 'pass', ms: Math.round(oneOf(pauses) * (0.7 + 0.5 * random())) }
    if (kind < 0.75) return { do: 'insert', key: oneOf(rowKeys) }
    if (kind < 0.75 + deletions) return { do: 'delete', key: oneOf(rowKeys) }
    if (kind < 0.9) return { do: 'table', fault: oneOf(tableFaults) }
    if (kind < 0.935) return { do: 'redis', fault: oneOf(redisFaults) }
    if (kind < 0.955) return { do: 'forget', node: node() }
    if (kind < 0.985) return { do: 'restart', node: node() }
    return kind < 0.995 ? { do: 'redefine' } : { do: 'trust', node: node() }
  })
  // What a guard can see takes keys that both nodes have found.
  const found = ['u1@d', 'u2@d', 'u1@e'].flatMap(key => [0, 1].map((node): Operation => ({ do: 'ask', node: node === 0 ? 0 : 1, key })))
  return { setting, operations: setting.guard && random() < 0.5 ? [{ do: 'insert', key: 'u3@d' }, ...found, { do: 'pass', ms: 20_000 }, ...operations] : operations }
}

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

// Half a minute on an idle machine; more where other tests run beside it.
t.setTimeout(300_000)

t.test(`${sequences} histories from seed ${firstSeed} on: no answer breaks the rules`, { timeout: 300_000 }, async t => {
  for (let seed = firstSeed; seed < firstSeed + sequences; seed++) {
    const { setting, operations } = draw(seed)
    if (await play(seed, setting, operations) === null) continue
    const shortest = await shrink(seed, setting, operations)
    t.fail(`seed ${seed}: ${await play(seed, setting, shortest) ?? ''}`, { setting, operations: shortest.map(each => JSON.stringify(each)) })
    return
  }
  t.pass('all of them')
})
