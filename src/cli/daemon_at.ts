/** Where a command reaches the running daemon: at the address that --at gives, or where the configuration says. */
import type { Config } from '../config/config.js'
import { parseEndpoint } from '../config/endpoint.js'
import type { Endpoint } from '../config/endpoint.js'
import { Failure, exitConfig, exitUsage } from './exit.js'

/** The configuration that a command reads unless its line names another. */
export const standardConfig = '/etc/holdfast/holdfast.yaml'

export type DaemonOptions = { readonly at?: string, readonly config: string }

/** The configuration file that a command uses to find the daemon. Throws Failure if it has problems. */
export const configOf = async ({ config }: DaemonOptions, environment: NodeJS.ProcessEnv): Promise<Config> => {
  // Reading a configuration takes YAML and its schema, which a command with --at need not load.
  const { loadConfig } = await import('../config/load.js')
  const loaded = loadConfig(config, environment)
  if (loaded.ok) return loaded.config
  throw new Failure(exitConfig, `${config} has problems (see \`holdfast check\`); or name the socket with --at`)
}

/** `endpointIn` finds the endpoint in a configuration; `what` names it for people. */
const daemonAt = async (
  options: DaemonOptions, environment: NodeJS.ProcessEnv,
  endpointIn: (config: Config) => Endpoint | undefined, what: string,
): Promise<Endpoint> => {
  if (options.at !== undefined) {
    const endpoint = parseEndpoint(options.at.replace(/^socketmap:/, ''))
    if (typeof endpoint === 'string') throw new Failure(exitUsage, `--at: ${endpoint}`)
    return endpoint
  }
  const endpoint = endpointIn(await configOf(options, environment))
  if (endpoint === undefined) throw new Failure(exitConfig, `${options.config} has no ${what}`)
  return endpoint
}

/** The admin socket that a configuration names. */
export const adminIn = ({ admin }: Config): Endpoint | undefined =>
  admin === null ? undefined : { kind: 'unix', path: admin }

const socketmapIn = ({ listeners }: Config): Endpoint | undefined =>
  listeners.find(({ protocol }) => protocol === 'socketmap')?.address

/** The socketmap listener. Throws Failure if none is named. */
export const socketmapAt = (options: DaemonOptions, environment: NodeJS.ProcessEnv): Promise<Endpoint> =>
  daemonAt(options, environment, socketmapIn, 'socketmap listener')

const adminText = '`admin:` socket, such as unix:/run/holdfast/admin.sock'

/** The admin socket. Throws Failure if none is named. */
export const adminAt = (options: DaemonOptions, environment: NodeJS.ProcessEnv): Promise<Endpoint> =>
  daemonAt(options, environment, adminIn, adminText)

/** The health address, else the admin socket. Throws Failure if neither is named. */
export const statusAt = (options: DaemonOptions, environment: NodeJS.ProcessEnv): Promise<Endpoint> =>
  daemonAt(options, environment, config => config.health ?? adminIn(config), adminText)
