/** The servers to measure. All give the same answers: `box%d@example.net` for `user%d@example.com`. */
import { join } from 'node:path'
import { startChild } from '../fixtures/child.js'
import { startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import type { Redis } from '../fixtures/redis.js'
import type { Program } from './programs.js'

export const map = 'alias'
export const knownKey = 'user%d@example.com'
export const unknownKey = 'nobody%d@example.com'
const value = 'box%d@example.net'

/** The number of connections to MySQL that Holdfast, or the plain pool, may open. */
const poolSize = 8

export type Transport = 'unix' | 'inet' | 'tcp_table'

/** A server under test. */
export type Served = {
  readonly name: string
  pids(): readonly number[]
  endpoint(transport: Transport): string
  close(): Promise<unknown>
}

type Ports = { readonly inet: number, readonly table: number }

const endpoints = (socket: string, ports: Ports) => (transport: Transport): string => {
  switch (transport) {
    case 'unix': return `unix:${socket}`
    case 'inet': return `inet:127.0.0.1:${ports.inet}`
    case 'tcp_table': return `inet:127.0.0.1:${ports.table}`
    default: return transport satisfies never
  }
}

/** Starts a bare responder with `entries` keys in its memory. */
export const startFloor = async (program: Program, entries: number): Promise<Served> => {
  const socket = join(freshFolder(), 's')
  const ports = { inet: await freePort(), table: await freePort() }
  const child = await startChild(program.command, [
    ...program.args, `unix:${socket}`, String(ports.inet), String(ports.table), knownKey, value, String(entries),
  ])
  await child.printed(/listening/)
  return {
    name: program.language === 'C' ? 'bare C' : 'bare Node',
    pids: () => [child.pid],
    endpoint: endpoints(socket, ports),
    close: () => child.kill(),
  }
}

/** Starts a MariaDB with `rows` rows that accepts a few hundred clients. */
export const startTable = (rows: number, args: readonly string[] = []): Promise<Mariadb> => startMariadb({
  args: ['--max-connections=600', '--innodb-buffer-pool-size=128M', ...args],
  sql: `
    CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT NOT NULL) CHARACTER SET utf8mb4;
    INSERT INTO alias
      SELECT CONCAT('user', seq, '@example.com'), CONCAT('box', seq, '@example.net') FROM seq_0_to_${rows - 1};
  `,
})

/** The MySQL server to ask, and the file of the authority that signed its certificate; '': no TLS. */
export type Way = { readonly hosts: string, readonly caFile: string }

const straightTo = ({ socket }: Mariadb): Way => ({ hosts: `unix:${socket}`, caFile: '' })

/** Starts the plain mysql2 pool, on a unix socket only. */
export const startPoolFloor = async (
  program: Program, table: Mariadb, { hosts, caFile } = straightTo(table),
): Promise<Served> => {
  const socket = join(freshFolder(), 's')
  const child = await startChild(program.command, [
    ...program.args, `unix:${socket}`, hosts, table.user, table.password, table.database, String(poolSize),
    'SELECT goto FROM alias WHERE address = ?', caFile,
  ])
  await child.printed(/listening/)
  return { name: 'mysql2 pool', pids: () => [child.pid], endpoint: () => `unix:${socket}`, close: () => child.kill() }
}

export type HoldfastOptions = Partial<Way> & {
  readonly table: Mariadb
  readonly redis?: Redis
  /** How many found answers its memory holds; a small number makes most lookups a miss. */
  readonly memoryEntries: number
  readonly freshFor?: string
  /** Whether Holdfast loads the table into its caches ahead of demand. */
  readonly warm?: boolean
}

/** Starts Holdfast on all three transports, with at most `poolSize` connections to MySQL. */
export const startServed = async (options: HoldfastOptions): Promise<Served & { readonly daemon: Holdfast }> => {
  const { table, redis, memoryEntries, freshFor = '1h', warm = false } = options
  const { hosts, caFile } = { ...straightTo(table), ...options }
  const ports = { inet: await freePort(), table: await freePort() }
  const health = await freePort()
  const daemon = await startHoldfast(dir => JSON.stringify({
    listen: [
      { socketmap: `unix:${join(dir, 's')}` },
      { socketmap: `inet:127.0.0.1:${ports.inet}` },
      { tcp: `127.0.0.1:${ports.table}`, map },
    ],
    health: `127.0.0.1:${health}`,
    admin: `unix:${join(dir, 'admin')}`,
    max_connections: 12_000,
    memory: { entries: memoryEntries, bytes: '1GB', absent_entries: 20_000 },
    ...(redis === undefined ? {} : { redis: { path: redis.socket } }),
    databases: {
      main: {
        hosts, user: table.user, password: table.password, dbname: table.database,
        ...(caFile === '' ? {} : { tls_CAfile: caFile }),
      },
    },
    connections: poolSize,
    maps: {
      [map]: {
        search: 'virtual', database: 'main', query: 'SELECT goto FROM alias WHERE address=\'%s\'',
        fresh_for: freshFor, absent_for: '1h', ...(warm ? { warm: 'auto' } : {}),
      },
    },
  }))
  return {
    name: 'Holdfast',
    daemon,
    pids: () => [daemon.pid()],
    endpoint: endpoints(join(daemon.dir, 's'), ports),
    close: () => daemon.kill(),
  }
}
