/**
 * Health over HTTP, on its own address. It imports nothing of the pipeline:
 * main hands it a function that returns a snapshot.
 *
 * Liveness is "the process turns"; readiness is "the listeners answer". A
 * MySQL or Redis that is down is neither: nothing may restart or bypass the
 * daemon for an outage that it exists to bridge. They show as detail.
 */
import Fastify from 'fastify'

export type Snapshot = {
  /** False only when Postfix would be better off without this node: not listening yet, or stopping. */
  readonly ready: boolean
  /** Everything worth knowing, as plain data. */
  readonly detail: Readonly<Record<string, unknown>>
}

export type HealthAddress = { readonly host: string, readonly port: number } | { readonly path: string }

/** Serves `/livez`, `/readyz` and `/status`; gives the URL and a function that closes it. Rejects if the address can't be had. */
export const serveHealth = async (
  address: HealthAddress, snapshot: () => Snapshot,
): Promise<{ url: string, close: () => Promise<void> }> => {
  const app = Fastify({ logger: false, forceCloseConnections: true })
  app.get('/livez', () => ({ status: 'alive' }))
  app.get('/readyz', (_request, reply) => {
    const { ready, detail } = snapshot()
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', ...detail })
  })
  app.get('/status', () => {
    const { ready, detail } = snapshot()
    return { ready, ...detail }
  })
  const url = await app.listen('path' in address ? address : { host: address.host, port: address.port })
  return { url, close: () => app.close() }
}
