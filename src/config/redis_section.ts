/** The `redis` section, checked as a whole -> how Redis is reached. The files of TLS are read here, once. */
import { createSecureContext } from 'node:tls'
import { messageOf } from '../log.js'
import type { RedisHost, RedisSettings, RedisTls } from './config.js'
import { parseEndpoint } from './endpoint.js'
import { readNamed, secretOf } from './reading.js'
import type { Reading } from './reading.js'
import type { ConfigFile } from './schema.js'

type RedisSection = NonNullable<ConfigFile['redis']>

/** Notes a problem with a parameter of this section. */
type SectionProblem = (parameter: string, text: string) => void

const hostsOf = (
  parameter: 'sentinels' | 'cluster', given: RedisSection, defaultPort: number, problem: SectionProblem,
): RedisHost[] | undefined => given[parameter]?.flatMap(text => {
  const endpoint = parseEndpoint(/:\d+$/.test(text) ? text : `${text}:${defaultPort}`)
  if (typeof endpoint !== 'string' && endpoint.kind === 'inet') return [{ host: endpoint.host, port: endpoint.port }]
  problem(parameter, `${parameter}: '${text}' is no server: write HOST or HOST:PORT`)
  return []
})

const checkTls = (given: RedisSection, files: readonly string[], problem: SectionProblem): void => {
  if (given.tls === false) problem('tls', `tls: is false beside ${files.join(' and ')}: remove one of them`)
  if (given.path !== undefined) {
    problem('path',
      'path: is a unix socket, over which there is no TLS: remove the tls parameters, or use host and port')
  }
  if ((given.tls_cert_file === undefined) !== (given.tls_key_file === undefined)) {
    const [name, other] = given.tls_cert_file === undefined ? ['tls_key_file', 'tls_cert_file'] as const
      : ['tls_cert_file', 'tls_key_file'] as const
    problem(name, `${name}: is set without ${other}; goes with it: add that, or remove this`)
  }
}

const tlsOf = (reading: Reading, given: RedisSection, problem: SectionProblem): RedisTls | null => {
  const files = (['tls_CAfile', 'tls_cert_file', 'tls_key_file'] as const).filter(name => given[name] !== undefined)
  if (given.tls !== true && files.length === 0) {
    if (given.tls_verify_cert !== undefined) {
      problem('tls_verify_cert', 'tls_verify_cert: is set without TLS; goes with `tls: true`: add that, or remove this')
    }
    return null
  }
  checkTls(given, files, problem)
  const read = (name: typeof files[number]): Buffer | undefined => {
    const file = given[name]
    return file === undefined ? undefined : readNamed(reading, ['redis', name], file)
  }
  const [ca, cert, key] = [read('tls_CAfile'), read('tls_cert_file'), read('tls_key_file')]
  const material = {
    ...ca === undefined ? {} : { ca }, ...cert === undefined ? {} : { cert }, ...key === undefined ? {} : { key },
  }
  try {
    createSecureContext(material)
  } catch (error) {
    problem(files[0] ?? 'tls', `${files.join(', ')}: can't be used: ${messageOf(error)}; `
      + 'must be PEM, and the key that of the certificate: name such files')
  }
  return { ...material, verify: given.tls_verify_cert ?? true }
}

const oneServer = ['host', 'port', 'path'] as const
const ofSentinels = [
  'master', 'sentinel_username', 'sentinel_password', 'sentinel_password_file', 'sentinel_password_env',
] as const

/** Parameters that name the server in more than one way, or go with one that isn't there. */
const checkWay = (given: RedisSection, problem: SectionProblem): void => {
  if (given.path !== undefined && (given.host ?? given.port) !== undefined) {
    problem('path', 'path: is set together with host or port: keep either path, or host and port')
  }
  for (const [several, others] of [['sentinels', oneServer], ['cluster', [...oneServer, 'sentinels']]] as const) {
    const other = others.find(name => given[name] !== undefined)
    if (given[several] !== undefined && other !== undefined) {
      problem(other, `${other}: is set together with ${several}, which says where Redis is: remove one of the two`)
    }
  }
  if (given.sentinels !== undefined && given.master === undefined) {
    problem('sentinels',
      'sentinels: has no master; say which primary they watch, `master: NAME`, as in their `sentinel monitor NAME ...`')
  }
  if (given.sentinels === undefined) {
    for (const name of ofSentinels) {
      if (given[name] === undefined) continue
      problem(name,
        `${name}: is set without sentinels; goes with \`sentinels: [HOST:PORT, ...]\`: add that, or remove this`)
    }
  }
  if (given.cluster !== undefined && given.db !== undefined && given.db !== 0) {
    problem('db',
      `db: is ${given.db}; a cluster has database 0 only: remove this, and use key_prefix to keep users apart`)
  }
}

/** How Redis is reached. */
export const redisOf = (reading: Reading, given: RedisSection): RedisSettings => {
  const problem: SectionProblem = (parameter, text) => reading.problem(['redis', parameter], text)
  const password = secretOf(reading, ['redis'], given)
  const sentinelPassword = secretOf(reading, ['redis'], given, 'sentinel_password')
  checkWay(given, problem)
  return {
    host: given.host, port: given.port, path: given.path,
    sentinels: hostsOf('sentinels', given, 26_379, problem), master: given.master,
    sentinelUsername: given.sentinel_username, sentinelPassword,
    cluster: hostsOf('cluster', given, 6_379, problem),
    tls: tlsOf(reading, given, problem),
    username: given.username, password, db: given.db,
    keyPrefix: given.key_prefix, commandTimeoutMs: given.command_timeout,
  }
}
