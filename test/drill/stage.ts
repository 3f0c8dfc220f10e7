/**
 * The servers of the drill: MariaDB behind the fault proxy, Redis, memcached,
 * Holdfast with a supervisor, and a Postfix for each way to reach the tables.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { startMemcached } from '../fixtures/memcached.js'
import { guardName, lenientParameter, lenientParameters, lenientPrefix } from '../../src/postfix/guarded_lists.js'
import { startPostfix } from '../fixtures/postfix.js'
import type { Postfix } from '../fixtures/postfix.js'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'
import type { Redis } from '../fixtures/redis.js'
import { user } from '../fixtures/sql_server.js'
import { startSmtpSink } from '../fixtures/smtp.js'
import { Recipients, schemaSql, setupSql } from './recipients.js'

/** The ways by which a Postfix of the drill reaches its tables. */
export type Peer = 'holdfast' | 'mysql:' | 'proxy:mysql:' | 'memcache:'
export const peers: readonly Peer[] = ['holdfast', 'mysql:', 'proxy:mysql:', 'memcache:']

export type Contestant = { readonly peer: Peer, readonly postfix: Postfix, readonly recipients: Recipients }

export type Stage = {
  readonly mariadb: Mariadb
  /** A second server, whose tables are empty; only a phase that names it in `hosts` makes Holdfast ask it. */
  readonly emptyMariadb: Mariadb
  /** The fault proxy in front of MariaDB, for all peers. */
  readonly proxy: Proxy
  readonly redis: Redis
  readonly holdfast: Holdfast
  /** Writes Holdfast's configuration with these parameters, for `reload` or a restart. */
  readonly configure: (more: Readonly<Record<string, unknown>>) => void
  readonly contestants: readonly Contestant[]
  stop(): Promise<void>
}

/** The default of `deadline`. */
export const deadlineMs = 2_000

/** The maps of a platform, as `adopt` writes them. */
const maps = {
  virtual_domain: { search: 'exact', query: "SELECT domain FROM virtual_domain WHERE domain='%s'" },
  virtual_alias: { search: 'virtual', query: "SELECT goto FROM alias WHERE address='%s'" },
  relay_domain: { search: 'domain', query: "SELECT domain FROM relay_domain WHERE domain='%s'" },
  relay_recipient: { search: 'recipient', query: "SELECT 'ok' FROM relay_recipient WHERE address='%s'" },
  transport: { search: 'transport', query: "SELECT nexthop FROM transport WHERE pattern='%s'" },
  client_access: { search: 'access', query: "SELECT action FROM access WHERE pattern='%s'", max_shrink: '100%' },
  sender_access: { search: 'access', query: "SELECT action FROM access WHERE pattern='%s'", max_shrink: '100%' },
  sender_relayhost: { search: 'recipient', query: "SELECT nexthop FROM relayhost WHERE sender='%s'", absence: 'reroutes' },
  sender_bcc: { search: 'recipient', query: "SELECT copy_to FROM bcc WHERE address='%s'", absence: 'passes' },
  recipient_bcc: { search: 'recipient', query: "SELECT copy_to FROM bcc WHERE address='%s'", absence: 'passes' },
  tls_policy: { search: 'exact', query: "SELECT policy FROM tls_policy WHERE destination='%s'", absence: 'weakens' },
} as const
type MapName = keyof typeof maps
const mapNames = Object.keys(maps) as readonly MapName[]

/** Holdfast's configuration (JSON is YAML) on the unix socket DIR/s: the defaults, but for `more`. */
export const holdfastConfig = (
  dir: string, { host, port, mariadb }: { host: string, port: number, mariadb: Mariadb },
  more: Readonly<Record<string, unknown>>,
): string => JSON.stringify({
  listen: [{ socketmap: `unix:${dir}/s`, mode: '0666' }],
  health: 'off',
  databases: { mail: { hosts: `${host}:${port}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database } },
  recipient_guard: ['virtual_domain', 'relay_domain'],
  maps: Object.fromEntries(mapNames.map(name => [name, { ...maps[name], database: 'mail' }])),
  ...more,
})

/** main.cf: every parameter that decides on a recipient names a table. */
const mainCf = (table: (map: MapName) => string): Readonly<Record<string, string>> => ({
  virtual_alias_domains: table('virtual_domain'),
  virtual_alias_maps: table('virtual_alias'),
  relay_domains: table('relay_domain'),
  relay_recipient_maps: table('relay_recipient'),
  transport_maps: table('transport'),
  smtpd_recipient_restrictions: [
    `check_client_access ${table('client_access')}`, `check_sender_access ${table('sender_access')}`, 'reject_unauth_destination',
  ].join(', '),
  sender_dependent_relayhost_maps: table('sender_relayhost'),
  sender_bcc_maps: table('sender_bcc'),
  recipient_bcc_maps: table('recipient_bcc'),
  smtp_tls_policy_maps: table('tls_policy'),
})

/**
 * A Postfix on Holdfast's socket, as `adopt` moves it: each smtpd has lenient names, and asks the guard about
 * recipients. It has an smtpd at each of `addresses` (host:port), besides its usual one.
 */
export const postfixOnHoldfast = (socket: string, addresses: readonly string[] = []) => {
  const table = (name: string): string => `socketmap:unix:${socket}:${name}`
  const guarded = (list: string): string =>
    list.replace('reject_unauth_destination', `check_recipient_access ${table(guardName)}, reject_unauth_destination`)
  const isLenient = new Set(lenientParameters)
  const settings = Object.entries(mainCf(table)).map(([name, value]) =>
    [name, isLenient.has(name) ? value.replace(/[^:]+$/, `\${${lenientParameter}}$&`) : guarded(value)])
  const lenientOption = `-o ${lenientParameter}=${lenientPrefix}`
  const smtpdOptions = `${lenientOption} -o rewrite_service_name=rewrite-smtpd`
  return {
    mainCf: {
      ...Object.fromEntries(settings) as Readonly<Record<string, string>>,
      [lenientParameter]: '', smtpd_relay_restrictions: guarded('reject_unauth_destination'),
    },
    masterCf: [
      `rewrite-smtpd unix - - n - - trivial-rewrite ${lenientOption}\n`,
      ...addresses.map(address => `${address} inet n - n - - smtpd ${smtpdOptions}\n`),
    ].join(''),
    smtpdOptions,
  }
}

/** Writes the mysql_table(5) and memcache_table(5) files; returns a function that names a peer's table for a map. */
const writeTables = (
  { mariadb, proxy, memcachedPort }: { mariadb: Mariadb, proxy: Proxy, memcachedPort: number },
): ((peer: Exclude<Peer, 'holdfast'>, map: MapName) => string) => {
  const dir = freshFolder()
  for (const map of mapNames) {
    writeFileSync(join(dir, `${map}.cf`), `hosts = ${proxy.host}:${proxy.port}\nuser = ${mariadb.user}\n`
      + `password = ${mariadb.password}\ndbname = ${mariadb.database}\nquery = ${maps[map].query}\n`)
    writeFileSync(join(dir, `${map}.memcache.cf`), `memcache = inet:127.0.0.1:${memcachedPort}\nkey_format = ${map}:%s\n`
      + `backup = proxy:mysql:${dir}/${map}.cf\n`)
  }
  return (peer, map) => {
    switch (peer) {
      case 'mysql:': return `mysql:${dir}/${map}.cf`
      case 'proxy:mysql:': return `proxy:mysql:${dir}/${map}.cf`
      case 'memcache:': return `memcache:${dir}/${map}.memcache.cf`
      default: return peer satisfies never
    }
  }
}

/** Restarts the daemon whenever it exits, as systemd does with Restart=always; returns a function that stops that. */
const supervise = (holdfast: Holdfast): () => void => {
  const given = new AbortController()
  const watch = async (): Promise<void> => {
    await holdfast.exited()
    if (given.signal.aborted) return
    await holdfast.start()
    await watch()
  }
  // A daemon that can't start ends this; the next phase shows that nobody answers.
  void watch().catch(() => undefined)
  return () => given.abort()
}

/** Starts all that these peers need, without a fault. No lookup has been made yet. */
export const startStage = async (wanted: readonly Peer[]): Promise<Stage> => {
  const stops: (() => unknown)[] = []
  const stop = async (): Promise<void> => {
    for (const each of stops.reverse()) await each()
  }
  try {
    const sink = await startSmtpSink()
    stops.push(() => sink.stop())
    const emptyMariadb = await startMariadb({ sql: schemaSql })
    stops.push(() => emptyMariadb.stop())
    const mariadb = await startMariadb({ sql: `${setupSql(sink.port)} GRANT SLAVE MONITOR ON *.* TO '${user}'@'%'` })
    stops.push(() => mariadb.stop())
    const proxy = await startProxy({ host: mariadb.host, port: mariadb.port })
    stops.push(() => proxy.stop())
    // The phase "loading" needs DEBUG RELOAD, which makes Redis read its whole content again.
    const redis = await startRedis({ args: ['--enable-debug-command', 'yes'] })
    stops.push(() => redis.stop())
    const memcached = await startMemcached()
    stops.push(() => memcached.stop())
    const config = (dir: string, more: Readonly<Record<string, unknown>> = {}): string => holdfastConfig(
      // max_lag is for the phase "replica stopped".
      dir, { host: proxy.host, port: proxy.port, mariadb },
      { max_lag: '10s', redis: { host: redis.host, port: redis.port }, ...more })
    const holdfast = await startHoldfast(dir => config(dir), {
      // The unit also gives Holdfast a state directory, for the snapshot and the copies.
      env: { ...process.env, STATE_DIRECTORY: freshFolder() }, canShift: true,
    })
    const configure: Stage['configure'] = more => holdfast.configure(config(holdfast.dir, more))
    stops.push(() => holdfast.stop())
    stops.push(supervise(holdfast))
    const table = writeTables({ mariadb, proxy, memcachedPort: memcached.port })
    const contestants: Contestant[] = []
    for (const peer of wanted) {
      const postfix = await startPostfix(peer === 'holdfast' ? postfixOnHoldfast(join(holdfast.dir, 's')) : { mainCf: {
        ...mainCf(map => table(peer, map)),
        // proxymap(8) opens only tables in this list, whose default lacks those behind memcache:.
        proxy_read_maps: mapNames.map(map => table('proxy:mysql:', map)).join(' '),
      } })
      stops.push(() => postfix.stop())
      contestants.push({ peer, postfix, recipients: new Recipients() })
    }
    return { mariadb, emptyMariadb, proxy, redis, holdfast, configure, contestants, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
