/** The commands that change something: trust, flush, warm and forget, by an administrator or with the token. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../config/config.js'
import { messageOf } from '../log.js'
import type { Log } from '../log.js'
import type { Maps, MysqlMap } from '../lookup/maps.js'
import type { Sources } from '../tables/open.js'
import type { Copies } from '../upkeep/copies.js'
import { flush } from '../upkeep/flush.js'
import type { Announce } from '../upkeep/flush.js'
import type { TableLoader } from '../upkeep/table_loader.js'

/** What the actions work on. A reload replaces it. */
export type Administered = {
  readonly config: Config
  readonly maps: Maps
  readonly sources: Sources
  /** By map: of those whose tables are loaded ahead of demand. */
  readonly loaders: ReadonlyMap<string, Pick<TableLoader, 'load' | 'state'>>
  readonly announce: Announce
  readonly copies: Pick<Copies, 'of'>
  /** Returns why the node can't be forgotten, or null. */
  readonly forgetNode: (name: string) => Promise<string | null>
}

/** One line for people: what was done, or why it can't be. */
type ActionResult = { readonly done: string } | { readonly error: string }

const trust = ({ name, trust: trusted, lookup }: MysqlMap, log: Log): ActionResult => {
  const { known } = lookup
  if (trusted.doubts.length === 0 && known.isWhole) {
    return { done: `${name}: the table is not in doubt, so there is nothing to change` }
  }
  trusted.trust()
  known.isWhole = true
  lookup.questions.endTrouble()
  log.warn(`map ${name}: an administrator says that the table is right as it is; it is believed again`)
  return { done: `${name}: the table is believed as it is now` }
}

const flushMap = async (map: MysqlMap, key: string | null, announce: Announce, log: Log): Promise<ActionResult> => {
  if (key === null) log.info(`map ${map.name}: an administrator flushed all of its keys`)
  return { done: await flush(map, key, announce) }
}

const noLoader = 'is not loaded ahead of demand: add `warm:`; if it has that, the log says why it can\'t be'

/** How often (ms) a load is looked at until it has ended. */
const lookMs = 100

const warm = async (name: string, administered: () => Administered): Promise<ActionResult> => {
  const loader = administered().loaders.get(name)
  if (loader === undefined) return { error: `${name} ${noLoader}` }
  loader.load()
  for (;;) {
    if (administered().loaders.get(name) !== loader) {
      return { error: `${name}: not loaded: the configuration has changed` }
    }
    const { state, rows, keys, problem } = loader.state
    if (state === 'elsewhere') return { done: `${name}: another node that shares the Redis is loading it` }
    if (state === 'idle') {
      return problem === '' ? { done: `${name}: ${keys} keys of ${rows} rows loaded` }
        : { error: `${name}: not loaded: ${problem}; the caches are as before` }
    }
    await sleep(lookMs, undefined, { ref: false })
  }
}

/** A text from a request's body; null if it isn't there, or is longer than any key. */
export const textAt = (body: unknown, name: string): string | null => {
  const value: unknown = typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined
  return typeof value === 'string' && value !== '' && value.length <= 1_000 ? value : null
}

/** Why there is no such map. */
export const noMap = (name: string | null, maps: Maps): string =>
  `no map '${name ?? ''}'; there are ${[...maps.keys()].join(', ')}`

const forget = async (name: string, { forgetNode }: Administered, log: Log): Promise<ActionResult> => {
  const problem = await forgetNode(name).catch((error: unknown) => `Redis can't be asked now: ${messageOf(error)}`)
  if (problem !== null) return { error: problem }
  log.info(`fleet: an administrator says that node ${name} is out of service`)
  return { done: `${name} is forgotten; within 10 s no node that shares the Redis names it` }
}

/** `POST /trust`, `/flush`, `/warm` and `/forget`. */
export const routeActions = (app: FastifyInstance, administered: () => Administered, log: Log): void => {
  type Done = ActionResult | { readonly missing: string }
  const route = (verb: string, act: (body: unknown) => Done | Promise<Done>): void => {
    app.post(`/${verb}`, async ({ body }, reply) => {
      const result = await act(body)
      if ('missing' in result) return reply.code(404).send({ error: result.missing })
      return reply.code('error' in result ? 400 : 200).send(result)
    })
  }
  const onMap = (verb: string, act: (map: MysqlMap, key: string | null) => ActionResult | Promise<ActionResult>) =>
    route(verb, body => {
      const [name, { maps }] = [textAt(body, 'map'), administered()]
      const map = maps.get(name ?? '')
      if (map === undefined) return { missing: noMap(name, maps) }
      return map.kind === 'mysql' ? act(map, textAt(body, 'key'))
        : { error: `${map.name} is a text table, which is read at start and on reload: reload the configuration` }
    })
  onMap('trust', map => trust(map, log))
  onMap('flush', (map, key) => flushMap(map, key, flushed => administered().announce(flushed), log))
  onMap('warm', ({ name }) => warm(name, administered))
  route('forget', body => forget(textAt(body, 'node') ?? '', administered(), log))
}
