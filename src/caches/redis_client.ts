/**
 * Opens a client of Redis (or of what speaks its protocol, such as Valkey) in
 * the shape that the settings name: one server, one that Sentinels name, or a
 * cluster. It connects in the background for as long as it lives; a command
 * settles within the command timeout, and fails at once while nobody could
 * answer it.
 */
import type { ConnectionOptions } from 'node:tls'
import type { Cluster, Redis } from 'ioredis'
import type { RedisSettings, RedisTls } from '../config/config.js'
import { messageOf } from '../log.js'
import type * as Library from './ioredis.js'

export type RedisClient = Redis | Cluster

let library: typeof Library | null = null

/** Loads the client's code, for which a node without Redis need not wait. Call it before anything else here. */
export const loadClient = async (): Promise<void> => {
  library ??= await import('./ioredis.js')
}

const loaded = (): typeof Library => {
  if (library === null) throw new Error('loadClient comes before anything of Redis')
  return library
}

export const isCluster = (client: RedisClient): client is Cluster => client.isCluster

/**
 * The value of `key` as bytes, asked of a connected client with a time (ms) of this question's own. Rejects as the
 * client does.
 */
export const getWithin = (client: RedisClient, key: string, timeoutMs: number): Promise<Buffer | null> => {
  const command = new (loaded().Command)('get', [key], { replyEncoding: null })
  // A command keeps the first time that it is given: the client's own is shorter.
  command.setTimeout(timeoutMs)
  client.sendCommand(command)
  return command.promise as Promise<Buffer | null>
}

const connectTimeoutMs = 2_000
/** A hung server keeps its connection open: without this, commands would gather behind it for ever. */
const socketTimeoutMs = 10_000
/** After a failover in a cluster, its nodes are asked who holds which keys at the latest after this (ms). */
const slotsRefreshMs = 1_000
/** Hops within a cluster that is being resharded; more is a storm, and the command is given up. */
const maxRedirections = 4

const retryDelayMs = (attempt: number): number =>
  Math.min(2_000, 50 * 2 ** Math.min(attempt, 6)) * (0.5 + Math.random() / 2)

const common = ({ commandTimeoutMs, username, password, tls }: RedisSettings) => ({
  commandTimeout: commandTimeoutMs,
  connectTimeout: connectTimeoutMs,
  socketTimeout: socketTimeoutMs,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  ...username === undefined ? {} : { username },
  ...password === undefined ? {} : { password },
  ...tls === null || tls === undefined ? {} : { tls: tlsOptions(tls) },
})

const tlsOptions = ({ verify, ...material }: RedisTls): ConnectionOptions =>
  ({ ...material, rejectUnauthorized: verify })

const place = ({ host, port, path, sentinels, master, sentinelUsername, sentinelPassword, tls }: RedisSettings) => {
  if (path !== undefined) return { path }
  if (sentinels === undefined) return { host: host ?? '127.0.0.1', port: port ?? 6379 }
  return {
    sentinels: sentinels.map(each => ({ ...each })),
    name: master ?? '',
    sentinelRetryStrategy: retryDelayMs,
    sentinelCommandTimeout: connectTimeoutMs,
    ...sentinelUsername === undefined ? {} : { sentinelUsername },
    ...sentinelPassword === undefined ? {} : { sentinelPassword },
    ...tls === null || tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tlsOptions(tls) },
  }
}

/** Errors after which the connection must not be used: the client would go on in database 0. */
const unfit = /^ERR (?:DB index|invalid DB)/

/** An AUTH that a server refuses, in words that the client doesn't take for a reason to go on without the account. */
const plainly = (message: string): string => message
  .replace(/without any password configured.*|no password is set/s, 'but this server wants none')
  .replace(/wrong number of arguments for 'auth' command/, 'this server knows no user names')

/**
 * Keeps the client from going on without the account or in another database, and from printing lines of its own.
 * `onProblem`: why it isn't ready, where the client itself would not say.
 */
const guarded = (client: Redis, onProblem: (error: Error) => void): Redis => {
  type Call = (...args: readonly unknown[]) => Promise<unknown>
  const methodOf = (name: 'auth' | 'hello' | 'info'): Call => (client[name] as Call).bind(client)
  const loggingIn = (name: 'auth' | 'hello'): Call => {
    const call = methodOf(name)
    return (...args) => call(...args).catch((error: unknown) => {
      const message = error instanceof Error ? plainly(error.message) : ''
      if (error instanceof Error && message !== error.message) {
        error.message = message
        onProblem(error)
      }
      throw error
    })
  }
  client.on('error', (error: Error) => { if (unfit.test(error.message)) client.stream.destroy() })
  const info = methodOf('info')
  return Object.assign(client, {
    auth: loggingIn('auth'), hello: loggingIn('hello'),
    // What the client asks before it calls itself ready. The account may lack the right to ask.
    info: (done: (error: Error | null, text: string) => void) => info((error: Error | null, text: unknown) => {
      const report = typeof text === 'string' ? text : ''
      if (report.includes('loading:1')) onProblem(new Error('LOADING Redis is loading its data'))
      done(error?.message.startsWith('NOPERM') === true ? null : error, report)
    }),
  })
}

/**
 * Starts to connect. Never throws: the client's events tell how it goes. `waits`: a command that finds no connection
 * waits for one, for as long as it may take. `onProblem`: why it isn't ready, where no event tells.
 */
export const openClient = (
  settings: RedisSettings, waits = false, onProblem: (error: Error) => void = () => undefined,
): RedisClient => {
  const { Cluster: ClusterClient, Redis: Single } = loaded()
  if (settings.cluster !== undefined) {
    return new ClusterClient(settings.cluster.map(each => ({ ...each })), {
      enableOfflineQueue: waits,
      clusterRetryStrategy: retryDelayMs,
      slotsRefreshTimeout: connectTimeoutMs,
      slotsRefreshInterval: slotsRefreshMs,
      maxRedirections,
      // A node that is gone, or a cluster that is down, is a miss now rather than an answer later.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      redisOptions: common(settings),
    })
  }
  return guarded(new Single({
    ...common(settings),
    ...place(settings),
    db: settings.db ?? 0,
    enableOfflineQueue: waits,
    retryStrategy: retryDelayMs,
  }), onProblem)
}

const patientTimeoutMs = 10_000

/**
 * A client for work that no lookup waits for: its commands may take longer.
 * Resolves when it is connected; rejects with its error if it isn't in that time (ms).
 */
export const connectPatiently = async (settings: RedisSettings, withinMs = 5_000): Promise<RedisClient> => {
  await loadClient()
  const client = openClient({ ...settings, commandTimeoutMs: patientTimeoutMs }, true)
  await new Promise<void>((resolve, reject) => {
    let problem = 'no answer'
    client.on('error', (error: Error) => { problem = messageOf(error) })
    const timer = setTimeout(() => {
      client.disconnect()
      reject(new Error(problem))
    }, withinMs)
    client.once('ready', () => {
      clearTimeout(timer)
      resolve()
    })
  })
  return client
}

/**
 * A connection that only listens, to a server that hears what is published
 * anywhere in this Redis; in a cluster to another node with each attempt. It
 * does not connect anew by itself: its end tells that messages may be missed.
 */
export const openSubscriber = (settings: RedisSettings, attempt: number): Redis => new (loaded().Redis)({
  ...common(settings),
  ...place({ ...settings, ...settings.cluster?.[attempt % settings.cluster.length] }),
  retryStrategy: () => null,
  autoResubscribe: false,
})
