/**
 * Health over HTTP, on its own address: for people, Prometheus and load
 * balancers. Nothing here is a key or a value; what changes something takes
 * the administrator's token.
 *
 * Liveness is "the process turns", readiness is "the listeners answer". A
 * MySQL or Redis that is down is neither: nothing may restart or bypass the
 * daemon for an outage that it exists to bridge. They show as detail.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { Endpoint } from '../config/endpoint.js'
import type { Log } from '../log.js'
import { packageFile } from '../runtime/package.js'
import { listenOnUnixSocket } from '../server/unix_socket.js'
import { routeActions } from './actions.js'
import type { Administered } from './actions.js'
import { createMetrics } from './metrics.js'
import { reportOf, summarize } from './summary.js'
import type { Shown } from './summary.js'

/** A client that has not sent its whole request within this time (ms) is closed. */
const requestMs = 10_000
/** A client without another request for this time (ms) is closed. */
const keepAliveMs = 5_000
/** How often (ms) the daemon looks for such clients. */
const checkMs = 2_000

/**
 * An HTTP server that no client can hold up: the idle and the slow are closed, and more than `maxClients` are not
 * let in. `silentMs`: a client that takes nothing for this time is closed, too; 0: it is not.
 */
export const createHttp = (bodyLimit: number, maxClients: number, silentMs: number): FastifyInstance => {
  const app = Fastify({
    logger: false, forceCloseConnections: true, bodyLimit,
    connectionTimeout: silentMs, requestTimeout: requestMs, keepAliveTimeout: keepAliveMs,
    http: { headersTimeout: requestMs, connectionsCheckingInterval: checkMs },
  })
  app.server.maxConnections = maxClients
  return app
}

/** Has an HTTP server listen on a unix socket with this mode. Rejects if the socket can't be made. */
export const listenAt = async (
  app: FastifyInstance, path: string, mode: number,
): Promise<{ close(): Promise<void> }> => {
  await app.ready()
  const { remove } = await listenOnUnixSocket(app.server, { path, mode, gid: null })
  return {
    close: () => {
      remove()
      return app.close()
    },
  }
}

/** A client of `health` that takes nothing for this time (ms) is closed; the longest flush takes less. */
const silentMs = 60_000

type HealthServer = { readonly url: string, close(): Promise<void> }

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
/** Takes the same time whatever was given, so that it tells nothing of the token. */
const isToken = (given: string, token: string): boolean => timingSafeEqual(digest(given), digest(token))

const hashOf = (html: string, tag: 'script' | 'style'): string => {
  const content = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(html)?.[1] ?? ''
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`
}

/**
 * The status page, one file; `policy` is its Content-Security-Policy, which lets the browser run and load nothing else.
 * Throws if the file isn't there.
 */
export const readPage = (): { readonly html: string, readonly policy: string } => {
  const html = readFileSync(packageFile('src/admin/page.html'), 'utf8')
  return {
    html,
    policy: [
      'default-src \'none\'', `script-src ${hashOf(html, 'script')}`, `style-src ${hashOf(html, 'style')}`,
      'connect-src \'self\'', 'img-src data:', 'base-uri \'none\'', 'form-action \'none\'', 'frame-ancestors \'none\'',
    ].join('; '),
  }
}

const routePage = (app: FastifyInstance): void => {
  const { html, policy } = readPage()
  app.get('/', (_request, reply) => reply
    .headers({
      'content-security-policy': policy, 'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer', 'cache-control': 'no-cache',
    })
    .type('text/html; charset=utf-8').send(html))
}

const routeStatus = (app: FastifyInstance, shown: Shown): void => {
  const metrics = createMetrics(shown.status)
  app.get('/livez', () => ({ status: 'alive' }))
  app.get('/readyz', (_request, reply) => {
    const status = shown.status()
    return reply.code(status.ready ? 200 : 503)
      .send({ status: status.ready ? 'ready' : 'not ready', summary: summarize(status), ...status })
  })
  app.get('/status', () => reportOf(shown))
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.render()))
}

const noToken = 'the configuration has no admin_token_file, so nothing can be changed here'

/** The actions, for the holder of the token. */
const routeWithToken = async (app: FastifyInstance, administered: () => Administered, log: Log): Promise<void> => {
  await app.register((admin, _options, done) => {
    admin.addHook('onRequest', async ({ headers }, reply) => {
      const token = administered().config.adminToken
      if (token === null) return reply.code(403).send({ error: noToken })
      const given = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1]
      if (given === undefined || !isToken(given, token)) {
        return reply.code(401).header('www-authenticate', 'Bearer').send({ error: 'wrong token' })
      }
    })
    routeActions(admin, administered, log)
    done()
  })
}

/** Serves the page, `/livez`, `/readyz`, `/status`, `/metrics` and the actions. Rejects if it can't listen there. */
export const serveHealth = async (
  address: Endpoint, maxClients: number, shown: Shown, administered: () => Administered, log: Log,
): Promise<HealthServer> => {
  const app = createHttp(8_192, maxClients, silentMs)
  routePage(app)
  routeStatus(app, shown)
  await routeWithToken(app, administered, log)
  if (address.kind === 'inet') {
    const url = await app.listen({ host: address.host, port: address.port })
    return { url, close: () => app.close() }
  }
  return { url: `unix:${address.path}`, ...await listenAt(app, address.path, 0o666) }
}
