/** Draws histories of the mail site by chance: the same for the same seed. */
import type { Which } from './judge.js'
import { randomFrom } from './machine.js'
import type { TableName } from './mysql.js'
import type { Setting } from './node.js'
import type { Operation } from './play.js'
import { aliasKeys, domainKeys, timedKeys } from './world.js'

/** Around each time that means something: round trips, deadlines, rechecks, absent, saves, fresh, confirm. */
const pauses = [20, 350, 2_100, 5_500, 13_000, 31_000, 45_000, 65_000, 310_000, 330_000]

type Draw = { readonly oneOf: <T>(choices: readonly T[]) => T, readonly random: () => number }

const drawFrom = (seed: number): Draw => {
  const random = randomFrom(seed ^ 0x5eed)
  return {
    random,
    oneOf: choices => {
      const choice = choices[Math.floor(random() * choices.length)]
      if (choice === undefined) throw new Error('nothing to choose from')
      return choice
    },
  }
}

const askOne = ({ oneOf, random }: Draw): Operation => {
  const node = oneOf<Which>([0, 0, 1])
  if (random() < 0.1) return { do: 'ask', node, table: 'timed', key: oneOf([...timedKeys, 'u1@d']) }
  return random() < 0.8 ? { do: 'ask', node, table: 'alias', key: oneOf([...aliasKeys, 't1@d', 'U1@D', 'nobody@d', 'u9@e']) }
    : { do: 'ask', node, table: 'domains', key: oneOf([...domainKeys, 'foreign']) }
}

const operationOf = (draw: Draw): Operation => {
  const { oneOf, random } = draw
  const which = oneOf<Which>([0, 1])
  const table = oneOf<TableName>(['alias', 'alias', 'domains'])
  const key = table === 'alias' ? oneOf([...aliasKeys, 't1@d']) : oneOf(domainKeys)
  const kind = random()
  if (kind < 0.42) return askOne(draw)
  if (kind < 0.58) return { do: 'pass', ms: Math.round(oneOf(pauses) * (0.7 + 0.5 * random())) }
  if (kind < 0.61) return { do: 'insert', table, key }
  if (kind < 0.62) return { do: 'insert', table: 'timed', key: oneOf(timedKeys) }
  if (kind < 0.635) return { do: 'delete', table, key }
  if (kind < 0.68) return {
    do: 'lose', server: which, tables: oneOf<readonly TableName[]>([['alias'], ['alias', 'domains']]),
  }
  if (kind < 0.72) return { do: 'restore', server: which, share: oneOf([0.3, 0.75, 0.9, 1]) }
  if (kind < 0.76) return {
    do: 'server', server: which, fault: oneOf(['none', 'down', 'hung', 'slow', 'flaky'] as const),
  }
  if (kind < 0.79) return oneOf<Operation>([{ do: 'outage' }, { do: 'mend' }])
  if (kind < 0.85) return {
    do: 'redis', fault: oneOf(['none', 'none', 'down', 'hung', 'slow', 'read-only', 'emptied', 'evicting'] as const),
  }
  if (kind < 0.91) return { do: 'restart', node: which, how: oneOf(['in order', 'killed', 'joins'] as const) }
  if (kind < 0.93) return { do: 'reload', isRedefined: random() < 0.2 }
  if (kind < 0.97) return { do: 'flush', node: which, table, key: oneOf([key, '@d', null]) }
  if (kind < 0.975) return { do: 'trust', node: which }
  if (kind < 0.98) return { do: 'clock', byMs: oneOf([-3_600_000, -20_000, 20_000, 3_600_000]) }
  if (kind < 0.985) return { do: 'stale', server: which }
  return kind < 0.99 ? { do: 'strangers', node: which } : { do: 'learn' }
}

/** The history that belongs to a seed. */
export const historyOf = (seed: number): { readonly setting: Setting, readonly operations: readonly Operation[] } => {
  const draw = drawFrom(seed)
  const { random } = draw
  const setting: Setting = {
    withRedis: random() < 0.6, isFallback: random() < 0.3, withChanges: random() < 0.3, isBalanced: random() < 0.4,
    withCopies: random() < 0.4,
  }
  const operations = Array.from({ length: 8 + Math.floor(random() * 30) }, () => operationOf(draw))
  // What a table has lost shows by keys that were known.
  return { setting, operations: random() < 0.9 ? [{ do: 'learn' }, ...operations] : operations }
}
