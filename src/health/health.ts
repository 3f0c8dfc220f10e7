/**
 * Health over HTTP, on its own address: for people, Prometheus and load
 * balancers. It imports nothing of the pipeline: the daemon hands it functions
 * that return snapshots. Nothing here changes anything, and nothing here is a
 * key or a value.
 *
 * Liveness is "the process turns"; readiness is "the listeners answer". A
 * MySQL or Redis that is down is neither: nothing may restart or bypass the
 * daemon for an outage that it exists to bridge. They show as detail.
 */
import Fastify from 'fastify'
import type { Events } from './events.js'
import type { History } from './history.js'
import { createMetrics } from './metrics.js'
import { readPage } from './page.js'
import type { Status } from './status.js'
import { summarize } from './summary.js'

export type HealthAddress = { readonly host: string, readonly port: number } | { readonly path: string }

export type Shown = {
  readonly status: () => Status
  readonly history: History
  readonly events: Events
}

export type HealthServer = { readonly url: string, close(): Promise<void> }

/** Serves the page at `/`, and `/livez`, `/readyz`, `/status` and `/metrics`; gives the URL and a function that closes it. Rejects if the address can't be had. */
export const serveHealth = async (address: HealthAddress, { status, history, events }: Shown): Promise<HealthServer> => {
  const app = Fastify({ logger: false, forceCloseConnections: true })
  const metrics = createMetrics(status)
  const report = () => {
    const now = status()
    return { summary: summarize(now), ...now }
  }
  const page = readPage()
  app.get('/', (_request, reply) => reply
    .headers({ 'content-security-policy': page.policy, 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-cache' })
    .type('text/html; charset=utf-8').send(page.html))
  app.get('/livez', () => ({ status: 'alive' }))
  app.get('/readyz', (_request, reply) => {
    const given = report()
    return reply.code(given.ready ? 200 : 503).send({ status: given.ready ? 'ready' : 'not ready', ...given })
  })
  app.get('/status', () => {
    const given = report()
    return { ...given, history: history.steps(given), events: events.list() }
  })
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.render()))
  const url = await app.listen('path' in address ? address : { host: address.host, port: address.port })
  return { url, close: () => app.close() }
}
