/**
 * `holdfast explain`: one address through every map, as Postfix would ask. For
 * each search step: what memory and Redis hold, and what the table says when
 * it is asked on the spot. It changes nothing that is known.
 */
import { bridge, isFresh } from '../caches/entry.js'
import type { Maps, ServedMap } from '../lookup/maps.js'
import { worded } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import { askInOrder } from '../tables/source.js'

export type ExplainedEntry = { readonly answer: string, readonly age: string, readonly verifiedAt: number }
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

const explainStep = async (map: ServedMap, key: string, budgetMs: number): Promise<ExplainedStep> => {
  if (map.kind === 'text') return { key, memory: null, redis: null, table: worded(map.table(key)) }
  const now = Date.now()
  const entry = map.memory.get(key)
  const age = entry === undefined ? '' : isFresh(entry, now) ? 'fresh' : bridge(entry, now) === null ? 'expired' : 'stale'
  const [cached, table] = await Promise.all([map.redis?.read(map.identity, [key]) ?? null, askInOrder(map.tables.map(({ source }) => source), key, budgetMs)])
  const [inRedis = null] = cached ?? []
  return {
    key,
    memory: entry === undefined ? null : { answer: worded(entry.outcome), age, verifiedAt: entry.verifiedAt },
    redis: inRedis === null ? null : { answer: worded(inRedis.outcome), age: '', verifiedAt: inRedis.verifiedAt },
    table: worded(table),
  }
}

/** What each map, or the one named, is asked for an address, and answers; each table within `budgetMs` a step. */
export const explain = async (maps: Maps, budgetMs: number, address: string, only: string | null): Promise<readonly Explained[]> => {
  const domain = address.slice(address.lastIndexOf('@') + 1)
  const walks = [...maps.values()].filter(({ name }) => only === null || name === only).flatMap(map => {
    switch (map.config.search) {
      case 'domain': return [{ map, asked: domain }]
      // Lists of addresses and of domains alike are asked for exact keys.
      case 'exact': return [...new Set([address, domain])].map(asked => ({ map, asked }))
      case 'virtual': case 'canonical': case 'generic': case 'transport': case 'recipient': case 'access': return [{ map, asked: address }]
      default: return map.config.search satisfies never
    }
  })
  return Promise.all(walks.map(async ({ map, asked }) => {
    const steps: ExplainedStep[] = []
    for (const { key } of map.plan.steps(fold(asked), asked)) {
      const step = await explainStep(map, key, budgetMs)
      steps.push(step)
      // The walk ends with an answer, and with a step that is in doubt.
      if (step.table !== 'absent') break
    }
    return { map: map.name, search: map.config.search, asked, steps, answer: worded(await map.lookup.lookup(asked)) }
  }))
}
