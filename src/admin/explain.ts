/**
 * `holdfast explain`: one address through every map, as Postfix would ask. For
 * each search step: what memory and Redis hold, and what the table says now. It
 * changes nothing that is known.
 */
import { bridge, isFresh } from '../caches/entry.js'
import type { Entry } from '../caches/entry.js'
import type { Maps, ServedMap } from '../lookup/maps.js'
import { worded } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import type { Search } from '../postfix/parameters.js'
import { askInOrder } from '../tables/source.js'

type ExplainedEntry = { readonly answer: string, readonly age: string, readonly verifiedAt: number }
export type ExplainedStep = {
  readonly key: string
  readonly memory: ExplainedEntry | null
  readonly redis: ExplainedEntry | null
  /** What the table says now. */
  readonly table: string
}
export type Explained = {
  readonly map: string
  readonly search: string
  readonly asked: string
  readonly steps: readonly ExplainedStep[]
  /** What Postfix gets. */
  readonly answer: string
}

const ageOf = (entry: Entry, now: number): string => {
  if (isFresh(entry, now)) return 'fresh'
  return bridge(entry, now) === null ? 'expired' : 'stale'
}

const explainStep = async (map: ServedMap, key: string, budgetMs: number): Promise<ExplainedStep> => {
  if (map.kind === 'text') return { key, memory: null, redis: null, table: worded(map.table(key)) }
  const now = Date.now()
  const entry = map.memory.get(key)
  const [cached, table] = await Promise.all([
    map.redis?.read(map.identity, [key]) ?? null,
    askInOrder(map.tables.map(({ source }) => source), key, budgetMs),
  ])
  const [inRedis = null] = cached ?? []
  return {
    key,
    memory: entry === undefined ? null
      : { answer: worded(entry.outcome), age: ageOf(entry, now), verifiedAt: entry.verifiedAt },
    redis: inRedis === null ? null : { answer: worded(inRedis.outcome), age: '', verifiedAt: inRedis.verifiedAt },
    table: worded(table),
  }
}

/** The keys that Postfix would ask a map for on the way of a mail to `address`. */
const askedOf = (search: Search, address: string): readonly string[] => {
  const domain = address.slice(address.lastIndexOf('@') + 1)
  switch (search) {
    case 'domain': return [domain]
    // It may be a list of addresses or of domains.
    case 'exact': return [...new Set([address, domain])]
    case 'virtual': case 'canonical': case 'generic': case 'transport': case 'recipient': case 'access': return [address]
    default: return search satisfies never
  }
}

const explainMap = async (map: ServedMap, asked: string, budgetMs: number): Promise<Explained> => {
  const steps: ExplainedStep[] = []
  for (const { key } of map.plan.steps(fold(asked), asked)) {
    const step = await explainStep(map, key, budgetMs)
    steps.push(step)
    // The walk ends with an answer, and with a step that can't be answered.
    if (step.table !== 'absent') break
  }
  const answer = worded(await map.lookup.lookup(asked))
  return { map: map.name, search: map.config.search, asked, steps, answer }
}

/** Explains `address` in all maps, or in the map `only`. A table has `budgetMs` for each step. */
export const explain = async (
  maps: Maps, budgetMs: number, address: string, only: string | null,
): Promise<readonly Explained[]> => {
  const chosen = [...maps.values()].filter(({ name }) => only === null || name === only)
  return Promise.all(chosen.flatMap(map =>
    askedOf(map.config.search, address).map(asked => explainMap(map, asked, budgetMs))))
}
