/** Where a command reaches the running daemon, at --at or where the configuration says, and questions to it by HTTP. */
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import type { Report } from '../admin/summary.js'
import type { Config } from '../config/config.js'
import { endpointName, parseEndpoint } from '../config/endpoint.js'
import type { Endpoint } from '../config/endpoint.js'
import { messageOf } from '../log.js'
import type { Problem } from '../log.js'
import { Failure, exitConfig, exitTempfail, exitUsage } from './terminal.js'

/** The configuration that a command reads unless its line names another. */
export const standardConfig = '/etc/holdfast/holdfast.yaml'

export type DaemonOptions = { readonly at?: string, readonly config: string }

/** The configuration that a command names. Throws Failure (78) if it has problems. */
export const configOf = async (
  { config }: Pick<DaemonOptions, 'config'>, environment: NodeJS.ProcessEnv,
): Promise<Config> => {
  // Reading a configuration takes YAML and its schema, which a command with --at need not load.
  const { loadConfig } = await import('../config/load.js')
  const loaded = loadConfig(config, environment)
  if (loaded.ok) return loaded.config
  throw new Failure(exitConfig, problemLines(loaded.problems))
}

const problemLines = (problems: readonly Problem[]): string =>
  problems.map(({ place, text }) => `${place}: ${text}`).join('\n')

/** What of a configuration says where the daemon is. */
type DaemonPlaces = Pick<Config, 'health' | 'admin' | 'listeners'>

/** A daemon that runs can be asked though its file has faults by now, and somebody will ask it just then. */
const placesOf = async (fileName: string, { env, stderr }: NodeJS.Process): Promise<DaemonPlaces> => {
  const { addressesIn, loadConfig } = await import('../config/load.js')
  const loaded = loadConfig(fileName, env)
  if (loaded.ok) return loaded.config
  const lines = problemLines(loaded.problems)
  const places = addressesIn(fileName, env)
  if (places === null) throw new Failure(exitConfig, lines)
  stderr.write(`${lines}\nA daemon that runs goes on with the former configuration; this is what it says:\n`)
  return places
}

/** Where the daemon is, and which setting says so. */
export type DaemonAddress = Endpoint & { readonly setting?: string }

/** Why nobody can be asked there, and what to do. */
export const unreachable = (address: DaemonAddress, error: unknown): string => {
  const { setting } = address
  const where = `${endpointName(address)}${setting === undefined ? '' : `, as ${setting} says`}`
  const code = error instanceof Error && 'code' in error ? error.code : ''
  switch (code) {
    case 'ECONNREFUSED': case 'ENOENT':
      return `nobody listens on ${where}. Does the daemon run (systemctl status holdfast), with this configuration? `
        + 'Otherwise name its address with --at'
    case 'EACCES': case 'EPERM':
      return `this account may not connect to ${where}. Run it as root, or as a member of the socket's group`
    default: return messageOf(error)
  }
}

/** `endpointIn` finds the endpoint in a configuration; `what` names it for people. */
const daemonAt = async (
  options: DaemonOptions, process: NodeJS.Process,
  endpointIn: (places: DaemonPlaces) => DaemonAddress | undefined, what: string,
): Promise<DaemonAddress> => {
  if (options.at !== undefined) {
    const endpoint = parseEndpoint(options.at.replace(/^socketmap:/, ''))
    if (typeof endpoint === 'string') throw new Failure(exitUsage, `--at: ${endpoint}`)
    return { ...endpoint, setting: '--at' }
  }
  const endpoint = endpointIn(await placesOf(options.config, process))
  if (endpoint === undefined) {
    throw new Failure(exitConfig, `${options.config} has no ${what}: add one, or name it with --at`)
  }
  return { ...endpoint, setting: `${endpoint.setting ?? ''} in ${options.config}` }
}

/** The admin socket that a configuration names. */
export const adminIn = ({ admin }: Pick<Config, 'admin'>): DaemonAddress | undefined =>
  admin === null ? undefined : { kind: 'unix', path: admin, setting: '`admin:`' }

const socketmapIn = ({ listeners }: DaemonPlaces): DaemonAddress | undefined => {
  const listener = listeners.find(({ protocol }) => protocol === 'socketmap')
  return listener === undefined ? undefined : { ...listener.address, setting: '`listen:`' }
}

/** The socketmap listener. Throws Failure if none is named. */
export const socketmapAt = (options: DaemonOptions, process: NodeJS.Process): Promise<DaemonAddress> =>
  daemonAt(options, process, socketmapIn, 'socketmap listener')

const adminText = '`admin:` socket, such as unix:/run/holdfast/admin.sock'

/** The admin socket. Throws Failure if none is named. */
export const adminAt = (options: DaemonOptions, process: NodeJS.Process): Promise<DaemonAddress> =>
  daemonAt(options, process, adminIn, adminText)

const healthIn = (config: DaemonPlaces): DaemonAddress | undefined =>
  config.health === null ? adminIn(config) : { ...config.health, setting: '`health:`' }

/** What the daemon of a configuration says of itself; null if it can't be asked. */
export const reportOfDaemon = async (config: Config): Promise<Report | null> => {
  const address = healthIn(config)
  return address === undefined ? null : await call(address, '/status').catch(() => null) as Report | null
}

/** The health address, else the admin socket. Throws Failure if neither is named. */
export const statusAt = (options: DaemonOptions, process: NodeJS.Process): Promise<DaemonAddress> =>
  daemonAt(options, process, healthIn, adminText)

type Body = Readonly<Record<string, unknown>>

const timeoutMs = 15_000

/** Resolves with the reply when its head has come. Rejects with the system's error, or a sentence after a timeout. */
const send = (
  address: Endpoint, path: string, body: Body | undefined, silentMs: number,
) => new Promise<IncomingMessage>((resolve, reject) => {
  const sent = request({
    ...address.kind === 'unix' ? { socketPath: address.path } : { host: address.host, port: address.port },
    path, method: body === undefined ? 'GET' : 'POST', timeout: silentMs,
    ...body === undefined ? {} : { headers: { 'content-type': 'application/json' } },
  }, resolve)
  sent.on('timeout', () => sent.destroy(new Error(`no answer within ${silentMs / 1_000} s`)))
  sent.on('error', reject)
  sent.end(body === undefined ? undefined : JSON.stringify(body))
})

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('what answers there is not Holdfast; name its address with --at')
  }
}

/** The whole reply as data. Rejects with a sentence for people if it is an error. */
const whole = async (reply: IncomingMessage): Promise<unknown> => {
  let text = ''
  for await (const chunk of reply.setEncoding('utf8')) text += String(chunk)
  const value = parsed(text)
  if (reply.statusCode === 200) return value
  const hasReason = typeof value === 'object' && value !== null && 'error' in value
  throw new Error(hasReason ? String(value.error) : `it answers ${reply.statusCode ?? ''}`)
}

const failed = (address: DaemonAddress, error: unknown): Failure =>
  new Failure(exitTempfail, unreachable(address, error), { cause: error })

/**
 * The daemon's reply as data. Throws Failure (75, caused by the system's error) if there is none, if it says nothing
 * for `silentMs` (0: it may take its time), or if it is an error.
 */
export const call = async (
  address: DaemonAddress, path: string, body?: Body, silentMs = timeoutMs,
): Promise<unknown> => {
  try {
    return await whole(await send(address, path, body, silentMs))
  } catch (error) {
    throw failed(address, error)
  }
}

/** The lines of the reply, as data, as they come. Throws as `call` does. */
export const callLines = async (address: DaemonAddress, path: string, body: Body): Promise<AsyncIterable<unknown>> => {
  const reply = await send(address, path, body, timeoutMs).catch((error: unknown) => { throw failed(address, error) })
  if (reply.statusCode !== 200) await whole(reply).catch((error: unknown) => { throw failed(address, error) })
  return (async function* () {
    for await (const line of createInterface(reply)) yield parsed(line)
  })()
}
