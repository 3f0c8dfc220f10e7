/**
 * What an administrator may ask and do, over HTTP on a unix socket of its own:
 * who may write to that socket may use it (root, the daemon's user and its
 * group), nobody else can reach it. Answers hold keys and values.
 */
import { Readable } from 'node:stream'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { listenOnPath } from './path.js'
import type { Report } from './http.js'

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

/** A row of a table: its key, and its value with each byte as one character. */
export type TableRow = readonly [key: string, value: string]

export type Actions = {
  readonly maps: () => readonly string[]
  explain(address: string, map: string | null): Promise<readonly Explained[]>
  /** One line that says what was done; null if the map is a text table and has nothing to trust or forget. */
  trust(map: string): Promise<string | null>
  /** `key` may be `@example.com`: all of that domain. */
  flush(map: string, key: string | null): Promise<string | null>
  /** What is known of a map, in batches; it ends with why some may be missing. A sentence if it gives none. */
  rows(map: string): Promise<AsyncGenerator<readonly TableRow[], string | null> | string>
  /** Takes rows in that were right at that time (epoch ms); what became of them, or a sentence why of none anything can. */
  take(map: string, rows: readonly TableRow[], madeAt: number): Promise<Readonly<Record<string, number>> | string>
  /** Has its table loaded now; null if it isn't one that is loaded ahead of demand. */
  warm(map: string): Promise<string | null>
}

/** Of one batch of an import, in bytes: a thousand rows, and a long one. */
const importBytes = 4 * 1_048_576

type Asked = { readonly map: string | null, readonly key: string | null, readonly address: string | null }

const textAt = (body: unknown, name: string): string | null => {
  const value: unknown = typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined
  return typeof value === 'string' && value !== '' && value.length <= 1_000 ? value : null
}
const askedOf = (body: unknown): Asked => ({ map: textAt(body, 'map'), key: textAt(body, 'key'), address: textAt(body, 'address') })

const isText = (map: string): string => `${map} is a text table: it is read at start and reload`

/** What changes something, for whoever may: `POST /trust`, `/flush` and `/warm`. */
export const routeActions = (app: FastifyInstance, actions: Actions): void => {
  const verbs: Readonly<Record<string, { readonly run: (map: string, key: string | null) => Promise<string | null> | string | null, readonly refusal: (map: string) => string }>> = {
    trust: { run: map => actions.trust(map), refusal: isText },
    flush: { run: (map, key) => actions.flush(map, key), refusal: isText },
    warm: { run: map => actions.warm(map), refusal: map => `${map} is not loaded ahead of demand: its configuration has no \`warm:\`, or one that the log says is of no use` },
  }
  for (const [verb, { run, refusal }] of Object.entries(verbs)) {
    app.post(`/${verb}`, async ({ body }, reply) => {
      const { map, key } = askedOf(body)
      if (map === null || !actions.maps().includes(map)) return reply.code(404).send({ error: `no map '${map ?? ''}'; there are ${actions.maps().join(', ')}` })
      const done = await run(map, key)
      return done === null ? reply.code(400).send({ error: refusal(map) }) : { done }
    })
  }
}

const isRow = (value: unknown): value is TableRow => Array.isArray(value) && value.length === 2 && value.every(part => typeof part === 'string')

/** Each batch a line of JSON; the last one says whether some are missing, and that there are no more. */
async function* linesOf(rows: AsyncGenerator<readonly TableRow[], string | null>): AsyncGenerator<string> {
  for (;;) {
    const { done, value } = await rows.next()
    yield `${JSON.stringify(done === true ? { missing: value } : value)}\n`
    if (done === true) return
  }
}

/** Whole tables: for who may use the socket, and nobody by HTTP. */
const routeRows = (app: FastifyInstance, actions: Actions): void => {
  app.post('/export', async ({ body }, reply) => {
    const { map } = askedOf(body)
    const rows = map === null ? 'no map' : await actions.rows(map)
    if (typeof rows === 'string') return reply.code(404).send({ error: rows })
    return reply.type('application/x-ndjson').send(Readable.from(linesOf(rows)))
  })
  app.post('/import', { bodyLimit: importBytes }, async ({ body }, reply) => {
    const { map } = askedOf(body)
    const { rows, madeAt } = body as { rows?: unknown, madeAt?: unknown }
    if (map === null || !Array.isArray(rows) || !rows.every(isRow) || typeof madeAt !== 'number') return reply.code(400).send({ error: 'map, rows and madeAt are wanted' })
    const taken = await actions.take(map, rows, madeAt)
    return typeof taken === 'string' ? reply.code(400).send({ error: taken }) : taken
  })
}

/** Serves on the socket at `path`, mode 0660. Rejects if it can't be had. */
export const serveAdmin = async (path: string, report: () => Report, actions: Actions): Promise<{ close: () => Promise<void> }> => {
  const app = Fastify({ logger: false, forceCloseConnections: true, bodyLimit: 8_192 })
  app.get('/status', () => report())
  app.post('/explain', async ({ body }, reply) => {
    const { address, map } = askedOf(body)
    if (address === null) return reply.code(400).send({ error: 'no address' })
    if (map !== null && !actions.maps().includes(map)) return reply.code(404).send({ error: `no map '${map}'; there are ${actions.maps().join(', ')}` })
    return actions.explain(address, map)
  })
  routeActions(app, actions)
  routeRows(app, actions)
  await app.ready()
  await listenOnPath(app.server, path, 0o660)
  return { close: () => app.close() }
}
