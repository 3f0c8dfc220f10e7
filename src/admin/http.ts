/**
 * Health over HTTP, on its own address: for people, Prometheus and load
 * balancers. It imports nothing of the pipeline: the daemon hands it functions
 * that return snapshots. Nothing here is a key or a value; what changes
 * something takes the administrator's token.
 *
 * Liveness is "the process turns"; readiness is "the listeners answer". A
 * MySQL or Redis that is down is neither: nothing may restart or bypass the
 * daemon for an outage that it exists to bridge. They show as detail.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import Fastify from 'fastify'
import { routeActions } from './actions.js'
import type { Actions } from './actions.js'
import type { Events } from './events.js'
import type { History } from './history.js'
import { createMetrics } from './metrics.js'
import { readPage } from './page.js'
import type { Status } from './status.js'
import { summarize } from './summary.js'
import type { Summary } from './summary.js'
import { listenOnPath } from './path.js'

export type HealthAddress = { readonly host: string, readonly port: number } | { readonly path: string }

export type Shown = {
  readonly status: () => Status
  readonly history: History
  readonly events: Events
}

export type Report = Status & { readonly summary: Summary, readonly history: ReturnType<History['steps']>, readonly events: ReturnType<Events['list']> }

/** All that is shown, as of now. */
export const reportOf = ({ status, history, events }: Shown): Report => {
  const now = status()
  return { summary: summarize(now), ...now, history: history.steps(now), events: events.list() }
}

export type HealthServer = { readonly url: string, close(): Promise<void> }

/** What may be done from here, and the token that it takes; null: nothing. */
export type Administration = { readonly token: () => string | null, readonly actions: Actions }

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
/** In a time that tells nothing of the token. */
const isToken = (given: string, token: string): boolean => timingSafeEqual(digest(given), digest(token))

/** Serves the page at `/`, `/livez`, `/readyz`, `/status`, `/metrics`, and what `administration` allows; gives the URL and a function that closes it. Rejects if the address can't be had. */
export const serveHealth = async (address: HealthAddress, shown: Shown, administration: Administration): Promise<HealthServer> => {
  const app = Fastify({ logger: false, forceCloseConnections: true, bodyLimit: 8_192 })
  const metrics = createMetrics(shown.status)
  const page = readPage()
  app.get('/', (_request, reply) => reply
    .headers({ 'content-security-policy': page.policy, 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-cache' })
    .type('text/html; charset=utf-8').send(page.html))
  app.get('/livez', () => ({ status: 'alive' }))
  app.get('/readyz', (_request, reply) => {
    const status = shown.status()
    return reply.code(status.ready ? 200 : 503).send({ status: status.ready ? 'ready' : 'not ready', summary: summarize(status), ...status })
  })
  app.get('/status', () => reportOf(shown))
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.render()))
  await app.register((admin, _options, done) => {
    admin.addHook('onRequest', async ({ headers }, reply) => {
      const token = administration.token()
      if (token === null) return reply.code(403).send({ error: 'there is no admin_token in the configuration: nothing can be done here' })
      const given = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1]
      if (given === undefined || !isToken(given, token)) return reply.code(401).header('www-authenticate', 'Bearer').send({ error: 'wrong token' })
    })
    routeActions(admin, administration.actions)
    done()
  })
  if ('path' in address) {
    await app.ready()
    await listenOnPath(app.server, address.path, 0o666)
    return { url: `unix:${address.path}`, close: () => app.close() }
  }
  const url = await app.listen({ host: address.host, port: address.port })
  return { url, close: () => app.close() }
}
