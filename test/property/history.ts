/** Makes random histories of the mail site; a seed makes the same one each time. */
import type { Which } from './judge.js'
import { randomFrom } from './machine.js'
import type { TableName } from './mysql.js'
import type { Setting } from './node.js'
import type { Operation } from './play.js'
import { aliasKeys, domainKeys, timedKeys } from './world.js'

/** Close to the times that matter: round trip, deadline, rechecks, absent_for, save, fresh_for, confirm_for (ms). */
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
  return random() < 0.8
    ? { do: 'ask', node, table: 'alias', key: oneOf([...aliasKeys, 't1@d', 'U1@D', 'nobody@d', 'u9@e']) }
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
  return kind < 0.99 ? { do: 'strangers', node: which, count: 60 } : { do: 'learn' }
}

export type History = { readonly setting: Setting, readonly operations: readonly Operation[] }

/** Makes the history of a seed. */
export const historyOf = (seed: number): History => {
  const draw = drawFrom(seed)
  const { random } = draw
  const setting: Setting = {
    withRedis: random() < 0.6, isFallback: random() < 0.3, withChanges: random() < 0.3, isBalanced: random() < 0.4,
    withCopies: random() < 0.4,
  }
  const operations = Array.from({ length: 8 + Math.floor(random() * 30) }, () => operationOf(draw))
  // A node notices that a table has lost rows by the keys it knows, so most histories begin with that.
  return { setting, operations: random() < 0.9 ? [{ do: 'learn' }, ...operations] : operations }
}

const plain: Setting = { withRedis: false, isFallback: false, withChanges: false, isBalanced: false, withCopies: false }
const learn: Operation = { do: 'learn' }
const outage: Operation = { do: 'outage' }
const ask = (node: Which, key: string, table: TableName = 'alias'): Operation => ({ do: 'ask', node, table, key })
const pass = (ms: number): Operation => ({ do: 'pass', ms })
const insert = (key: string): Operation => ({ do: 'insert', table: 'alias', key })
const empty: readonly Operation[] = ([0, 1] as const).map(server => ({ do: 'lose', server, tables: ['alias', 'domains'] }))
/** A pause longer than fresh_for and confirm_for. */
const long = pass(310_000)
/** A pause longer than the deadline, so that the last question has its answer. */
const end = pass(2_100)

type Written = { readonly rule: number, readonly setting?: Partial<Setting>, readonly operations: readonly Operation[] }

/** Histories that random ones would rarely contain: at least one for each rule that an answer can break. */
const written: Readonly<Record<string, Written>> = {
  'a row that is missing for a moment is still answered': {
    rule: 1, operations: [learn, long, { do: 'gap', key: 'u2@d' }, ask(0, 'u2@d'), end, { do: 'mend' }],
  },
  'a node that starts while the tables are empty still answers what it knew': {
    rule: 2, operations: [learn, pass(33_000), ...empty, { do: 'restart', node: 0, how: 'in order' }, ask(0, 'u1@d'), end],
  },
  'Holdfast does not believe an emptied table, however often that says absent': {
    rule: 4, operations: [learn, long, ...empty, learn, pass(1_000), long, learn, end],
  },
  'rows that end by the clock begin no doubt': {
    rule: 5, operations: [learn, long, ask(0, 'u1@d', 'timed'), ask(0, 't1@d', 'timed'), end],
  },
  'Holdfast does not believe an emptied table about a key that no node knows': {
    rule: 6, operations: [learn, insert('new@d'), pass(45_000), ...empty, pass(10), ask(0, 'new@d'), end],
  },
  'in an outage no recipient is refused because of an earlier absence': {
    rule: 7, operations: [
      learn, ask(0, 'new@d'), pass(100), insert('new@d'), pass(45_000), outage, pass(8_000), ask(0, 'new@d'), end,
    ],
  },
  'a reload in an outage keeps what was known': {
    rule: 10, operations: [
      learn, pass(10_000), outage, pass(3_000), { do: 'reload', isRedefined: false }, ask(0, 'u1@d'), end,
    ],
  },
  'an absence that another node got from a stale server does not end what this node found': {
    rule: 11, setting: { withRedis: true }, operations: [
      learn, ask(1, 'nobody@d'), { do: 'stale', server: 1 }, insert('t1@d'),
      { do: 'server', server: 1, fault: 'down' }, pass(100), ask(1, 't1@d'), pass(100), { do: 'server', server: 1, fault: 'none' },
      { do: 'redis', fault: 'emptied' }, { do: 'server', server: 0, fault: 'down' }, pass(12_000), ask(0, 't1@d'),
      pass(190_000), ask(1, 't1@d'), outage, pass(110_000), ask(1, 't1@d'), end,
    ],
  },
  'after a flush no older answer is given as fresh': {
    rule: 12, operations: [
      learn, pass(1_000), insert('u1@d'), pass(100), { do: 'flush', node: 0, table: 'alias', key: null },
      pass(7_000), ask(0, 'u1@d'), end,
    ],
  },
  'a fallback that was held up between two short outages does not count them as one long outage': {
    rule: 13, setting: { isFallback: true }, operations: [
      learn, insert('new@d'), pass(45_000), outage, ask(0, 'nobody@d'), pass(8_000), { do: 'hold', ms: 70_000 },
      pass(12_000), ask(0, 'new@d'), end,
    ],
  },
  'made-up keys push no known key out of memory': {
    rule: 14, operations: [
      learn, pass(1_000), { do: 'strangers', node: 0, count: 450 }, pass(3_000), outage, pass(3_000), learn, end,
    ],
  },
  'in an outage a node waits for a slow Redis': {
    rule: 16, setting: { withRedis: true }, operations: [
      learn, pass(20_000), insert('new@d'), pass(35_000), ask(0, 'new@d'), outage, pass(3_000),
      { do: 'redis', fault: 'slow' }, ask(1, 'new@d'), end,
    ],
  },
  'kill -9 in an outage loses nothing that was learned more than 30 s before': {
    rule: 16, operations: [learn, pass(33_000), outage, { do: 'restart', node: 0, how: 'killed' }, ask(0, 'u1@d'), end],
  },
}

/** By title. */
export const writtenHistories: ReadonlyMap<string, History> = new Map(Object.entries(written).map(
  ([title, { rule, setting, operations }]) => [`rule ${rule}: ${title}`, { setting: { ...plain, ...setting }, operations }]))
