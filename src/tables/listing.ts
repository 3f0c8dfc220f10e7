/**
 * A lookup query -> the listing of its table: a statement that gives the rows of
 * all keys, and how a key finds its own among them.
 *
 * A query depends on its key through what it is compared with. Where that
 * happens in equalities that AND joins (`name = '%d' AND local = '%u'`), these are
 * taken out and their columns are selected instead: a search. A key finds the
 * rows in whose columns stand the texts that the query would have been given for
 * it. So a row found by the domain alone is kept once, for all users of it; the
 * key is taken apart, checked and formatted as for a real lookup (definition.ts).
 * SELECTs that UNION joins, and alternatives that OR joins, are searches each;
 * EXISTS is a search that must find something, or nothing.
 *
 * MySQL finds by collation, a copy by bytes. Of the rows only those are listed that
 * their key in lower case finds; keys that aren't printable ASCII, whether they
 * are asked for or listed, are left to whoever searches (caches/copy.ts). That the
 * listing is right is not proved here: before it is used, its answers are compared
 * with the query's own (upkeep/take_copy.ts).
 *
 * Bugs: without ORDER BY in the lookup query the rows of one key may come in
 * another order than the lookup gives them in. SQL promises neither.
 */
import { keyTextOf, partsOf, readAlternatives, reasonOf } from './condition.js'
import type { Condition, Equality, Exists, QueryText } from './condition.js'
import { hasPart } from './expansion.js'
import type { KeyText, KeyTest } from './expansion.js'
import type { KeyedStatement } from './query_template.js'
import { checkRowExpressions, hasClock } from './row_expression.js'
import {
  NotListable, argumentsOf, hasParameter, inParentheses, isName, isSymbol, isWord, outerWords, readSelect, readUnion,
  refuse, splitAt, sqlText, sqlWords,
} from './select.js'
import type { Select, Run } from './select.js'

/** Searches (by number) of which one must find something, or none may. */
export type Requirement = { readonly searches: readonly number[], readonly isNegated: boolean }

/** One index of a copy. Plain data. */
export type KeySearch = {
  /** What the key columns are, in SQL. */
  readonly columns: readonly string[]
  /** What a key is searched by: for each way one text a column. A row is found if it is found in one of these ways. */
  readonly ways: readonly (readonly KeyText[])[]
  /** Keys that don't pass find nothing. */
  readonly tests: readonly KeyTest[]
  readonly requirements: readonly Requirement[]
  /** What is answered, column by column: SQL, or a text that the key gives. */
  readonly values: readonly (string | KeyText)[]
  readonly from: string
  readonly where: readonly string[]
  /** A condition with the clock in it: a row for which it doesn't hold now may count later. Null: none. */
  readonly clock: string | null
  /** ORDER BY of the rows of one key; '' for none. */
  readonly order: string
  /** What the rows are ordered by, as one value, if LIMIT may cut them; else null. */
  readonly rank: string | null
  readonly isDistinct: boolean
}

/** A SELECT of the lookup query: the alternatives of its conditions. */
export type ListedSelect = {
  readonly searches: readonly number[]
  readonly limit: number
  readonly isDistinct: boolean
}

export type Listing = {
  readonly searches: readonly KeySearch[]
  readonly selects: readonly ListedSelect[]
  /** Of equal rows of the SELECTs one counts (UNION). */
  readonly isDistinct: boolean
}

/** A key column as it is listed: in lower case, in UTF-8, of no collation that could clash with another SELECT's. */
export const lowered = (column: string): string => `CAST(CONVERT(LOWER(${column}) USING utf8mb4) AS BINARY)`

/**
 * All conditions on a search's rows. One that no folded key finds, as in a column compared by bytes, is none of them.
 */
export const conditionsOf = ({ columns, where }: KeySearch): string =>
  [...where, ...columns.map(column => `${column} = LOWER(${column})`)]
    .map(condition => `(${condition}\n)`).join(' AND ') || 'TRUE'

/** Gathers the searches of one query. */
type Gathering = QueryText & { readonly searches: KeySearch[] }

/** An item of a SELECT's list without its alias. */
const withoutAlias = (item: Run): Run => isWord(outerWords(item).at(-2), 'AS') ? item.slice(0, -2) : item

/** The SQL of a run; `part` says what a part of the key is in it. Refused where that isn't known. */
const textWith = (run: Run, { sql, parameters }: QueryText, part: ReturnType<typeof partsOf>): string => {
  if (hasParameter(run) && run.some(word => isWord(word, 'SELECT'))) return refuse(reasonOf(run))
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll('\'', '\'\'')}'`
  return sqlText(sql, run, parameter => {
    const pieces = (parameters[parameter] ?? [])
      .map(piece => typeof piece === 'string' ? quoted(piece) : part(piece.part) ?? refuse(reasonOf(run)))
    return pieces.length === 1 ? pieces.join('') : `CONCAT(${pieces.join(', ')})`
  })
}

/** The tables of FROM, and the key columns of a query among them in which the key stands. */
type From = { readonly text: string, readonly keys: readonly Equality[] }

const keyName = (index: number): string => `holdfast_key${index + 1}`

/** Whether the searches of a query within can be one table, with the same key columns in all its rows. */
const isOneTable = ({ searches, selects }: Listing): boolean => {
  const ways = JSON.stringify(searches[0]?.ways)
  return selects.every(({ limit }) => limit === Infinity) && searches.every(search =>
    search.ways.length === 1 && JSON.stringify(search.ways) === ways && search.tests.length === 0
    && search.requirements.length === 0 && search.clock === null && search.order === '')
}

/** Of a query in FROM that the key stands in, the key columns are selected as well. */
const readFrom = (run: Run, gathering: Gathering): From => {
  if (!hasParameter(run)) return { text: run.length === 0 ? 'DUAL' : sqlText(gathering.sql, run), keys: [] }
  const end = outerWords(run).find(word => isSymbol(word, ')'))
  const query = run.slice(0, run.findIndex(word => word === end) + 1)
  const [name, ...more] = run.slice(query.length).filter(word => !isWord(word, 'AS'))
  const isAlone = inParentheses(query) !== null && more.length === 0
  if (!isAlone || name === undefined || !isName(name)) return refuse('the key stands in a JOIN')
  const inner = gather(query, { ...gathering, searches: [] })
  if (!isOneTable(inner)) {
    return refuse('the key stands in a query within that limits its rows or compares in several ways')
  }
  const selects = inner.searches.map(search => {
    const keys = search.columns.map((column, index) => `${lowered(column)} AS ${keyName(index)}`)
    const values = search.values
      .map(value => typeof value === 'string' ? value : refuse('a query within gives the key'))
    const start = search.isDistinct ? 'SELECT DISTINCT' : 'SELECT'
    return `${start} ${[...keys, ...values].join(', ')}\nFROM ${search.from}\nWHERE ${conditionsOf(search)}`
  })
  return {
    text: `(${selects.join(inner.isDistinct ? '\nUNION\n' : '\nUNION ALL\n')}\n) AS ${name.text}`,
    keys: (inner.searches[0]?.ways[0] ?? []).map((text, index) =>
      ({ kind: 'equality', text, column: `${name.text}.${keyName(index)}`, also: null })),
  }
}

/** What the rows of one key are ordered by, where LIMIT may cut them. */
const rankOf = ({ order, limit }: Select, sql: string): string | null => {
  if (order.length === 0 || limit === Infinity) return null
  const columns = splitAt(order, word => isSymbol(word, ','))
    .map(column => sqlText(sql, isWord(column.at(-1), 'ASC', 'DESC') ? column.slice(0, -1) : column))
  return `CONCAT_WS('|', ${columns.join(', ')})`
}

/** Keys are folded, and so are the listed ones. */
const hasCapitals = (text: KeyText): boolean =>
  text.some(piece => typeof piece === 'string' ? /[A-Z]/.test(piece) : 'cut' in piece && hasCapitals(piece.cut))

/** One alternative of a SELECT, as a search. */
const searchOf = (
  select: Select, items: readonly Run[], from: From, conditions: readonly Condition[], gathering: Gathering,
): KeySearch => {
  const equalities = [...from.keys, ...conditions.filter(condition => condition.kind === 'equality')]
  if (equalities.some(({ text }) => hasCapitals(text))) refuse('it compares the key with capital letters')
  const where = equalities.flatMap(({ also }) => also ?? [])
  const clock: string[] = []
  const tests: KeyTest[] = []
  const requirements: Requirement[] = []
  const part = partsOf(equalities)
  for (const condition of conditions) {
    switch (condition.kind) {
      case 'equality':
        break
      case 'row': {
        const depends = hasClock(condition.run)
        if (depends && condition.run.some(word => isWord(word, 'SELECT'))) refuse('its answer depends on the clock')
        ;(depends ? clock : where).push(sqlText(gathering.sql, condition.run))
        break
      }
      case 'test':
        tests.push(condition.test)
        break
      case 'exists':
        requirements.push({ searches: gatherRequired(condition, gathering), isNegated: condition.isNegated })
        break
      case 'other':
        if (hasClock(condition.run)) refuse('its answer depends on the clock')
        where.push(textWith(condition.run, gathering, part))
        break
      default: condition satisfies never
    }
  }
  return {
    columns: equalities.map(({ column }) => column),
    ways: [equalities.map(({ text }) => text)],
    tests, requirements,
    values: items.map(item => {
      const text = keyTextOf(withoutAlias(item), gathering)
      return text !== null && hasPart(text) ? text : textWith(item, gathering, part)
    }),
    from: from.text, where, clock: clock.length === 0 ? null : clock.map(condition => `(${condition}\n)`).join(' AND '),
    order: sqlText(gathering.sql, select.order), rank: rankOf(select, gathering.sql), isDistinct: select.isDistinct,
  }
}

/** Adds a search, or another way to one of `own` (by number) that lists the same rows. */
const addSearch = (search: KeySearch, own: number[], searches: KeySearch[]): void => {
  const rowsOf = (search: KeySearch | undefined): string => JSON.stringify({ ...search, ways: [] })
  const same = own.find(number => rowsOf(searches[number]) === rowsOf(search))
  const known = same === undefined ? undefined : searches[same]
  if (same === undefined || known === undefined) own.push(searches.push(search) - 1)
  else searches[same] = { ...known, ways: [...known.ways, ...search.ways] }
}

/** The searches of the alternatives of a SELECT's conditions, with some that are added to each. */
const gatherAlternatives = (
  select: Select, items: readonly Run[], added: readonly Condition[], gathering: Gathering,
): readonly number[] => {
  const from = readFrom(select.from, gathering)
  const own: number[] = []
  for (const conditions of readAlternatives(select.where, gathering)) {
    addSearch(searchOf(select, items, from, [...conditions, ...added], gathering), own, gathering.searches)
  }
  return own
}

/** Reads a SELECT of which each row has its own answer, in which the clock has no say but by conditions. */
const readRowSelect = (run: Run): Select => {
  const select = readSelect(run)
  checkRowExpressions(run)
  if ([...select.items, select.from, select.order].some(hasClock)) refuse('its answer depends on the clock')
  return select
}

/** `SELECT IF(EXISTS(query), value, NULL)`: the value, where the query finds something. */
const readIfExists = ({ items, from }: Select): { readonly value: Run, readonly exists: Exists } | null => {
  if (from.length > 0 || items.length !== 1) return null
  const [exists, value, otherwise, ...more] = argumentsOf(withoutAlias(items[0] ?? []), 'IF') ?? []
  if (exists === undefined || value === undefined || !isWord(otherwise?.[0], 'NULL') || more.length > 0) return null
  if (!isWord(exists[0], 'EXISTS')) return null
  return { value, exists: { kind: 'exists', query: exists.slice(1), isNegated: false, equals: null } }
}

const namesNoColumns = (item: Run): boolean =>
  item.some((word, index) => isSymbol(word, '*') && (index === 0 || isSymbol(item[index - 1], '.')))

/** The searches of one SELECT, added to the others. */
const gatherSelect = (run: Run, gathering: Gathering): ListedSelect => {
  const select = readRowSelect(run)
  if (select.items.some(namesNoColumns)) refuse('it names no columns')
  // A number is the place of a column, and the listing has other columns before it.
  const isByPlace = select.order.some(({ kind, text }) => kind === 'plain' && /^\d/.test(text))
  if (isByPlace || hasParameter(select.order)) refuse('it orders by something else than columns')
  const ifExists = readIfExists(select)
  const searches = ifExists === null
    ? gatherAlternatives(select, select.items, [], gathering)
    : gatherAlternatives(select, [ifExists.value], [ifExists.exists], gathering)
  return { searches, limit: select.limit, isDistinct: select.isDistinct }
}

/** The searches of a query within that is asked only whether it has rows, or has a certain value. */
const gatherRequired = ({ query, equals }: Exists, gathering: Gathering): readonly number[] =>
  readUnion(query).selects.flatMap(run => {
    const select = readRowSelect(run)
    if (hasClock(select.where)) refuse('its answer depends on the clock')
    const [item = [], ...more] = select.items
    if (equals !== null && (more.length > 0 || hasParameter(item))) refuse(reasonOf(run))
    const added: readonly Condition[] = equals === null ? []
      : [{ kind: 'equality', text: equals, column: sqlText(gathering.sql, withoutAlias(item)), also: null }]
    return gatherAlternatives({ ...select, order: [], limit: Infinity, isDistinct: true }, [], added, gathering)
  })

const gather = (run: Run, gathering: Gathering): Listing => {
  const { selects, isDistinct } = readUnion(run)
  return { selects: selects.map(select => gatherSelect(select, gathering)), searches: gathering.searches, isDistinct }
}

/** The listing of a lookup query; a text says why it has none. */
export const deriveListing = (
  { texts, parameters, expansions }: Pick<KeyedStatement, 'texts' | 'parameters' | 'expansions'>,
): Listing | string => {
  if (expansions.length === 0) return 'the key does not stand in it'
  const sql = texts.join('?')
  const words = sqlWords(sql)
  if (words === null) return 'a quote, a comment or a parenthesis is not closed, or a comment has code in it'
  try {
    const { searches, selects, isDistinct } = gather(words, { sql, parameters, searches: [] })
    const widths = new Set(selects.flatMap(select => select.searches.map(number => searches[number]?.values.length)))
    return widths.size > 1 ? 'its SELECTs have different numbers of columns' : { searches, selects, isDistinct }
  } catch (error) {
    if (error instanceof NotListable) return error.message
    throw error
  }
}

/** The first columns of each listed row; the search's key columns and the answer's follow. */
export const listedColumns = {
  /** The number of the search that the row belongs to. */
  search: 0,
  /** 1: the row counts now. 0: its condition with the clock does not hold, or not any more. */
  now: 1,
  /** What the rows of a key are ordered by. */
  rank: 2,
  keys: 3,
} as const

/** The most key columns that a search has. The values stand behind so many, whichever search a row belongs to. */
export const keyColumnsOf = ({ searches }: Listing): number =>
  Math.max(...searches.map(({ columns }) => columns.length))

/** No limit, as MySQL wants it written. A session's sql_select_limit would cut the list short without a word. */
const noLimit = 'LIMIT 18446744073709551615'

const searchSql = (search: KeySearch, number: number, keys: number, values: number): string => {
  const { columns, from, clock, rank, order, isDistinct } = search
  const selected = [
    number, clock === null ? 1 : `(${clock}) IS TRUE`, rank ?? 'NULL',
    ...Array.from({ length: keys }, (_, index) => columns[index] === undefined ? 'NULL' : lowered(columns[index])),
    ...Array.from({ length: values }, (_, index) => {
      const value = search.values[index]
      return typeof value === 'string' ? value : 'NULL'
    }),
  ]
  // What is ordered within a UNION stays so only with a LIMIT of its own.
  const end = order === '' ? '' : `\nORDER BY ${order}\n${noLimit}`
  const start = isDistinct ? 'SELECT DISTINCT' : 'SELECT'
  return `${start} ${selected.join(', ')}\nFROM ${from}\nWHERE ${conditionsOf(search)}${end}`
}

/** The statement. Its rows come in no order but that of the lookup query's own ORDER BY. */
export const listingSql = (listing: Listing): string => {
  const keys = keyColumnsOf(listing)
  const values = Math.max(...listing.searches.map(search => search.values.length))
  const selects = listing.searches.map((search, number) => searchSql(search, number, keys, values))
  if (selects.length > 1) return `${selects.map(select => `(${select}\n)`).join('\nUNION ALL\n')}\n${noLimit}`
  return listing.searches[0]?.order === '' ? `${selects.join('')}\n${noLimit}` : selects.join('')
}
