/** What the tests of the MySQL source share: statements, log-ins and small servers. */
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { Connection } from '../../src/mysql/connection.js'
import { openServers } from '../../src/mysql/database.js'
import type { Access, Database, Servers } from '../../src/mysql/database.js'
import type { Host } from '../../src/mysql/hosts.js'
import type { Fault } from '../../src/mysql/fault.js'
import type { BreakerState } from '../../src/mysql/breaker.js'
import type { ServerSettings, ServerStatus } from '../../src/mysql/server.js'
import { openConnection } from '../../src/mysql/session.js'
import type { Target } from '../../src/mysql/session.js'
import type { Result, Query } from '../../src/mysql/sql.js'
import { serverSettings } from '../fixtures/server_settings.js'
import type { Unavailable } from '../../src/outcome.js'

/** The part of tap's test object that is used here. */
export type Test = { teardown(action: () => unknown): void }

/** A table `alias`, and procedures that answer with whatever error is wanted. */
export const tables = `
  CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255));
  INSERT INTO alias VALUES ('info@example.com', 'box@example.net'), ('two@example.com', 'a@example.net,b@example.net');
  CREATE PROCEDURE look(k VARCHAR(255)) SELECT goto FROM alias WHERE address = k;
  CREATE PROCEDURE look_twice(k VARCHAR(255)) BEGIN SELECT goto FROM alias WHERE address = k; SELECT k; END;
  CREATE PROCEDURE no_result(k VARCHAR(255)) SET @unused = k;
  CREATE PROCEDURE fail_with(number INT, k VARCHAR(255)) SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = number, MESSAGE_TEXT = k;
  CREATE PROCEDURE fail_once(number INT, k VARCHAR(255)) BEGIN
    IF @failed IS NULL THEN SET @failed = 1; SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = number, MESSAGE_TEXT = k; END IF;
    SELECT goto FROM alias WHERE address = k;
  END;
`

/** A statement with a value for each `?`. */
export const queryOf = (sql: string): Query => ({ texts: sql.split('?') })
export const lookAlias = queryOf('SELECT goto FROM alias WHERE address = ?')
export const known = 'info@example.com'
/** Longer than any test may take (ms): for what has to come, however busy the machine is. */
export const patient = 600_000

/** The goto of `known`, as `lookAlias` answers it. */
export const knownAnswer = { kind: 'rows', rows: [['box@example.net']] }
export const noRows = { kind: 'rows', rows: [] }

export const startBed = async (t: Test, args: readonly string[] = []): Promise<Mariadb> => {
  const mariadb = await during(t, startMariadb({ sql: tables, args }))
  return mariadb
}

export const inet = ({ port }: { readonly port: number }): Host => ({ kind: 'inet', host: '127.0.0.1', port })
export const unix = ({ socket }: { readonly socket: string }): Host => ({ kind: 'unix', path: socket })

export const loginTo = ({ user, password, database }: Mariadb, changed: Partial<Access> = {}): Access =>
  ({ user, password, dbname: database, charset: 'utf8mb4', tls: null, ...changed })

export const targetOf = (mariadb: Mariadb, changed: Partial<Target> = {}): Target => {
  const { user, password, database } = mariadb
  return { host: unix(mariadb), user, password, dbname: database, charset: 'utf8mb4', ssl: null, limitMs: 0, ...changed }
}

/** Opens one connection and ends it after the test; throws if it can't be had. */
export const connectTo = async (t: Test, mariadb: Mariadb, changed: Partial<Target> = {}): Promise<Connection> => {
  const connection = await openConnection(targetOf(mariadb, changed), 10_000)
  if (!(connection instanceof Connection)) throw new Error(connection.detail)
  t.teardown(() => connection.end())
  return connection
}

/** For tests of what these settings do: nothing happens by itself unless a test lets it. */
const stillSettings = serverSettings({
  connections: 4, standing: 0, maxAgeMs: 600_000, connectTimeoutMs: 600_000, failures: 3, resetMs: 60_000,
  silentMs: 60_000, statementMs: 60_000,
})

/** Servers that are closed after the test, and what their breakers said. */
export const serversFor = (t: Test, changed: Partial<ServerSettings> = {}): {
  readonly servers: Servers
  readonly changes: readonly { readonly server: string, readonly state: BreakerState, readonly detail: string }[]
  /** Resolves at the next change to this state, if no earlier one is the last. */
  readonly until: (state: BreakerState) => Promise<void>
} => {
  const changes: { server: string, state: BreakerState, detail: string }[] = []
  const watchers = new Set<() => void>()
  const servers = openServers({
    ...stillSettings,
    onState: (server, state, detail) => {
      changes.push({ server, state, detail })
      for (const watcher of watchers) watcher()
    },
    ...changed,
  })
  t.teardown(() => servers.close())
  return {
    servers, changes,
    until: state => new Promise(resolve => {
      const look = (): void => {
        if (changes.at(-1)?.state !== state) return
        watchers.delete(look)
        resolve()
      }
      watchers.add(look)
      look()
    }),
  }
}

type Made = ReturnType<typeof serversFor> & { readonly database: Database }

/** The database of this server, by TCP. */
export const databaseOn = (t: Test, mariadb: Mariadb, changed: Partial<ServerSettings> = {}): Made => {
  const made = serversFor(t, changed)
  return { ...made, database: made.servers.database([inet(mariadb)], loginTo(mariadb)) }
}

/** The same, behind a proxy. */
export const databaseBehind = async (
  t: Test, mariadb: Mariadb, changed: Partial<ServerSettings> = {},
): Promise<Made & { readonly proxy: Proxy }> => {
  const proxy = await proxied(t, mariadb)
  const made = serversFor(t, changed)
  return { ...made, proxy, database: made.servers.database([inet(proxy)], loginTo(mariadb)) }
}

/** A result without the columns' names, or whatever else the answer is. */
export const seen = (answer: Result | Fault | Unavailable): unknown =>
  answer.kind === 'rows' ? { kind: answer.kind, rows: answer.rows } : answer

/** The reason why a question got no answer; 'rows' if it got one. */
export const reasonOf = (answer: Result | Unavailable): string => answer.kind === 'unavailable' ? answer.reason : 'rows'

/** Connections of the daemon's account, other than those in the test's own hands. */
export const sessions = (mariadb: Mariadb): Promise<readonly Readonly<Record<string, unknown>>[]> =>
  mariadb.sql(`SELECT ID AS id, COMMAND AS command, INFO AS info FROM information_schema.PROCESSLIST WHERE USER = '${mariadb.user}'`)

/** Asks the server until its sessions are as wanted. */
export const untilSessions = async (
  mariadb: Mariadb, wanted: (sessions: readonly Readonly<Record<string, unknown>>[]) => boolean,
): Promise<void> => {
  while (!wanted(await sessions(mariadb)));
}

/** A proxy in front of the server, until the test ends. */
export const proxied = async (t: Test, target: Mariadb): Promise<Proxy> => {
  const proxy = await during(t, startProxy({ path: target.socket }))
  return proxy
}

/** The status of the only server. */
export const statusOf = (servers: Servers): ServerStatus => {
  const [status] = servers.status()
  if (status === undefined) throw new Error('no server')
  return status
}

/** Asks slow questions until so many connections stand. */
export const fill = async (database: Database, servers: Servers, count: number): Promise<void> => {
  while (statusOf(servers).connections < count) {
    await Promise.all(Array.from({ length: count }, () => database.ask(queryOf('SELECT SLEEP(?)'), ['0.02'], patient)))
  }
}

/** What each of so many questions, one after the other, comes to. */
export const reasons = async (database: Database, count: number, budgetMs = patient): Promise<readonly string[]> => {
  const all: string[] = []
  for (let asked = 0; asked < count; asked++) all.push(reasonOf(await database.ask(lookAlias, [known], budgetMs)))
  return all
}
