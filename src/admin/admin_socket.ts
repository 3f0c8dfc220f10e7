/**
 * What an administrator may ask and do, over HTTP on a unix socket of its own:
 * who may write to that socket may use it (root, the daemon's user and its
 * group), nobody else can reach it. Answers hold keys and values.
 */
import { Readable } from 'node:stream'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { Log } from '../log.js'
import { listenOnUnixSocket } from '../server/unix_socket.js'
import { noMap, routeActions, textAt } from './actions.js'
import type { Administered } from './actions.js'
import { explain } from './explain.js'
import { cachedMap, isRow, knownRows, takeRows } from './rows.js'
import type { Row } from './rows.js'
import { reportOf } from './summary.js'
import type { Shown } from './summary.js'

/** The longest body, in bytes, of most requests, and of one batch of an import: a thousand rows, and a long one. */
const bodyBytes = 8_192
const importBytes = 4 * 1_048_576

/** Each batch is a line of JSON; the last line says why rows may be missing, or null. */
async function* linesOf(rows: AsyncGenerator<readonly Row[], string | null>): AsyncGenerator<string> {
  for (;;) {
    const { done, value } = await rows.next()
    yield `${JSON.stringify(done === true ? { missing: value } : value)}\n`
    if (done === true) return
  }
}

const routeExplain = (app: FastifyInstance, administered: () => Administered): void => {
  app.post('/explain', async ({ body }, reply) => {
    const { maps, config } = administered()
    const [address, map] = [textAt(body, 'address'), textAt(body, 'map')]
    if (address === null) return reply.code(400).send({ error: 'no address' })
    if (map !== null && !maps.has(map)) return reply.code(404).send({ error: noMap(map, maps) })
    return explain(maps, config.file.deadline, address, map)
  })
}

/** Whole tables: only by this socket, never by HTTP elsewhere. */
const routeRows = (app: FastifyInstance, administered: () => Administered): void => {
  app.post('/export', async ({ body }, reply) => {
    const map = cachedMap(administered().maps, textAt(body, 'map') ?? '')
    if (typeof map === 'string') return reply.code(404).send({ error: map })
    return reply.type('application/x-ndjson').send(Readable.from(linesOf(knownRows(map))))
  })
  app.post('/import', { bodyLimit: importBytes }, async ({ body }, reply) => {
    const name = textAt(body, 'map')
    const { rows, madeAt } = body as { rows?: unknown, madeAt?: unknown }
    if (name === null || !Array.isArray(rows) || !rows.every(isRow) || typeof madeAt !== 'number') {
      return reply.code(400).send({ error: 'map, rows and madeAt are wanted' })
    }
    const map = cachedMap(administered().maps, name)
    const taken = typeof map === 'string' ? map : await takeRows(map, rows, madeAt)
    return typeof taken === 'string' ? reply.code(400).send({ error: taken }) : taken
  })
}

/** Serves on the socket at `path`, mode 0660. Rejects if it can't be had. */
export const serveAdmin = async (
  path: string, shown: Shown, administered: () => Administered, log: Log,
): Promise<{ close: () => Promise<void> }> => {
  const app = Fastify({ logger: false, forceCloseConnections: true, bodyLimit: bodyBytes })
  app.get('/status', () => reportOf(shown))
  routeExplain(app, administered)
  routeActions(app, administered, log)
  routeRows(app, administered)
  await app.ready()
  const remove = await listenOnUnixSocket(app.server, { path, mode: 0o660, gid: null })
  return {
    close: () => {
      remove()
      return app.close()
    },
  }
}
