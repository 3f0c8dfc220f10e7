/**
 * Takes a copy of a table: lists it, and compares the copy with the table. Some of
 * its keys, and as many others like them, are looked up in the table: both must say
 * the same of each. This stands in for a proof that the listing derived from a query
 * lists what the query finds.
 */
import type { Copy } from '../caches/copy.js'
import { buildCopy } from '../caches/copy.js'
import type { RawRow } from '../mysql/sql.js'
import { listingSql } from '../tables/listing.js'
import { mysqlSource } from '../tables/source.js'
import type { Table } from '../tables/open.js'
import type { Outcome } from '../outcome.js'
import { addressOf } from '../tables/expansion.js'

export type TakeSettings = {
  /** More rows are not taken, */
  readonly maxRows: number
  /** nor rows that take more memory; else they may. */
  readonly maxBytes?: number
  /** For each key that is compared (ms). */
  readonly budgetMs: number
  readonly now: () => number
  /** Gets each batch of rows; the next one is read when it is done, so one can wait here. A text says why to stop. */
  readonly onRows: (rows: readonly RawRow[]) => Promise<string | null>
  /** Servers that are not believed now: none of them is listed. */
  readonly avoid?: (server: string) => boolean
}

/** A copy that may be used, or why there is none. Rows are streamed. Rejects only if `onRows` does. */
export const takeCopy = async (
  { definition, database }: Pick<Table, 'definition' | 'database'>,
  { maxRows, maxBytes = Infinity, budgetMs, now, onRows, avoid = () => false }: TakeSettings,
): Promise<Copy | string> => {
  const listing = definition.listing
  if (typeof listing === 'string') return listing
  const builder = buildCopy(definition, listing, now())
  const problems: string[] = []
  let from = ''
  const query = { texts: [listingSql(listing)], unfitModes: definition.unfitModes }
  const fault = await database.list(query, async (rows, server) => {
    from = server
    for (const row of rows) builder.add(row)
    const tooMany = builder.rows > maxRows ? `it has more than ${maxRows} rows` : null
    const tooLarge = builder.bytes > maxBytes ? `its rows take more than the ${Math.floor(maxBytes / 1_000)} kB that `
      + 'copy_rows leaves for it (200 bytes a row)' : null
    const problem = await onRows(rows) ?? tooMany ?? tooLarge
    if (problem !== null) problems.push(problem)
    return problem === null
  }, avoid)
  const [problem] = problems
  if (problem !== undefined) return problem
  if (fault?.reason === 'distrusted') return 'the table is in doubt'
  if (fault !== null) return `${fault.reason}: ${fault.detail}`
  const copy = await builder.finish(from)
  if (typeof copy === 'string') return copy
  const source = mysqlSource(definition, database)
  return await compareCopy(copy, async key => (await source.ask(key, budgetMs, { avoid })).outcome) ?? copy
}

/** So many keys of the copy are looked up, and about as many others. */
const sampledKeys = 50

/** The first of these letters that a text has, changed into what some collations take for the same. */
const swaps: readonly (readonly [string, string])[] = [
  ['y', 'i'], ['v', 'w'], ['w', 'v'], ['i', 'y'], ['ss', 's'], ['o', 'oe'], ['-', ''], ['_', 'x'],
]

const swapped = (text: string): string => {
  for (const [from, to] of swaps) if (text.includes(from)) return text.replace(from, to)
  return `${text}x`
}

/** How a key is changed into one that the table might take for it, or might have too. */
const changes: readonly ((key: string, domain: string, others: readonly string[]) => string)[] = [
  key => `${key.slice(0, -1)}q`,
  key => `x${key}`,
  (key, domain) => key.replace(/@.*/, `+tag@${domain}`),
  key => swapped(key),
  (_, domain) => `holdfast-nobody@${domain}`,
  (_, domain) => domain,
  (_, domain) => `@${domain}`,
  (key, _, others) => `${addressOf(key).user}@${addressOf(others[0] ?? '').domain ?? 'holdfast.invalid'}`,
  key => `${addressOf(key).user}@sub.${addressOf(key).domain ?? ''}`,
  key => addressOf(key).user,
  key => key.slice(1),
  key => `0${key}`,
  key => key.replace(/[^@.]/g, '_'),
  key => key.replace(/^[^@]+/, '%'),
]

/** Keys that may well be in no table, each one made of a key that is. */
const otherKeys = (keys: readonly string[]): readonly string[] => [...new Set([
  ...keys.flatMap((key, index) => {
    const change = changes[index % changes.length]
    return change === undefined ? [] : [change(key, addressOf(key).domain ?? key, [...keys.slice(index + 1), ...keys])]
  }),
  'holdfast-check@holdfast.invalid', 'holdfast.invalid', '@holdfast.invalid', '*', '0', '203.0.113.1', 'holdfast',
])].filter(key => key !== '' && !keys.includes(key))

/** Values as far as SQL says which they are: rows come in an order of the server's own unless the query has one. */
const comparable = (outcome: Outcome): string =>
  outcome.kind === 'found' ? `found: ${outcome.value.split(',').sort().join()}` : outcome.kind

/**
 * Null if the table says of all keys what the copy says, where that is sure; else
 * why the copy must not be used, without a key in it. `ask` looks a folded key up in
 * the table itself. A row that changed since the listing began makes a difference
 * too: the next copy will not have it.
 */
export const compareCopy = async (
  copy: Copy, ask: (key: string) => Outcome | Promise<Outcome>,
): Promise<string | null> => {
  const keys = copy.sampleKeys(sampledKeys)
  for (const key of [...keys, ...otherKeys(keys)]) {
    const own = copy.answer(key)
    if (own.kind === 'unsure') continue
    const outcome = await ask(key)
    if (comparable(own) === comparable(outcome)) continue
    if (outcome.kind === 'unavailable') return outcome.reason === 'query-error' || outcome.reason === 'bad-value'
      ? `the table's query fails for a key that is ${own.kind} in the copy: ${outcome.detail}`
      : `it could not be compared with the table: ${outcome.reason}: ${outcome.detail}`
    return own.kind === outcome.kind
      ? 'a key has another value in the table than in the copy'
      : `a key that is ${own.kind} in the copy is ${outcome.kind} in the table`
  }
  return null
}
