/**
 * What an administrator may ask and do, over HTTP on a unix socket. Whoever may
 * write to that socket may use it (root, the daemon's user and its group); nobody
 * else can reach it. Answers hold keys and values.
 */
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Log } from '../log.js'
import type { Maps } from '../lookup/maps.js'
import { copiedDomains } from '../mx/domains.js'
import { noMap, routeActions, textAt } from './actions.js'
import type { Administered } from './actions.js'
import { explain } from './explain.js'
import type { ExplainQuestion } from './explain.js'
import { createHttp, listenAt } from './http.js'
import { cachedMap, isRow, knownRows, takeRows } from './rows.js'
import type { Row } from './rows.js'
import { reportOf } from './summary.js'
import type { Shown } from './summary.js'

/**
 * The longest body, in bytes, of most requests; of questions; of one batch of an import: a thousand rows, a long one.
 */
const bodyBytes = 8_192
const questionsBytes = 65_536
const importBytes = 4 * 1_048_576

/** Each batch is a line of JSON; the last line says why rows may be missing, or null. */
async function* linesOf(rows: AsyncGenerator<readonly Row[], string | null>): AsyncGenerator<string> {
  for (;;) {
    const { done, value } = await rows.next()
    yield `${JSON.stringify(done === true ? { missing: value } : value)}\n`
    if (done === true) return
  }
}

const questionsOf = (maps: Maps, body: unknown): readonly ExplainQuestion[] | string => {
  const { questions } = body as { questions?: unknown }
  if (!Array.isArray(questions)) return 'questions are wanted'
  const read: ExplainQuestion[] = []
  for (const question of questions) {
    const [name, asked] = [textAt(question, 'map'), textAt(question, 'asked')]
    const map = maps.get(name ?? '')
    if (map === undefined) return noMap(name, maps)
    if (asked === null) return 'a question has no key'
    read.push({ map, asked })
  }
  return read
}

const routeExplain = (app: FastifyInstance, administered: () => Administered, log: Log): void => {
  app.post('/explain', { bodyLimit: questionsBytes }, async ({ body }, reply) => {
    const { maps, copies, config: { file } } = administered()
    const settings = { deadlineMs: file.deadline, softDeadlineMs: file.soft_deadline }
    const questions = questionsOf(maps, body)
    if (typeof questions === 'string') return reply.code(400).send({ error: questions })
    return Promise.all(questions.map(question => 
      explain(question, copies.of(question.map.name), settings, log)))
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

/** Serves on the socket at `path`, mode 0660. Rejects if the socket can't be made. */
export const serveAdmin = async (
  path: string, maxClients: number, shown: Shown, administered: () => Administered, log: Log,
): Promise<{ close(): Promise<void> }> => {
  const app = createHttp(bodyBytes, maxClients, 0)
  app.get('/status', () => reportOf(shown))
  routeExplain(app, administered, log)
  routeActions(app, administered, log)
  routeRows(app, administered)
  app.get('/domains', () => copiedDomains(administered()))
  return listenAt(app, path, 0o660)
}
