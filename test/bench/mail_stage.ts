/**
 * A Postfix for each way to reach the same tables: text files, `mysql:`,
 * `proxy:mysql:`, `memcache:`, and Holdfast with and without Redis. All take mail
 * for relay.example and discard it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startHoldfast } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { startMemcached } from '../fixtures/memcached.js'
import { postmapMake, startPostfix } from '../fixtures/postfix.js'
import type { Postfix } from '../fixtures/postfix.js'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import { startRedis } from '../fixtures/redis.js'

export const ways = ['text tables', 'mysql:', 'proxy:mysql:', 'memcache:', 'Holdfast', 'Holdfast, Redis'] as const
export type Way = typeof ways[number]

/** How much of main.cf is in tables: what is needed to accept and route mail, or all that platforms put there. */
export type Platform = 'few maps' | 'all maps'

export type Contestant = {
  readonly way: Way
  readonly platform: Platform
  readonly postfix: Postfix
  /** The ids of the processes that serve this Postfix besides MySQL. */
  readonly helpers: () => { readonly holdfast: readonly number[], readonly cache: readonly number[] }
}

export type MailStage = {
  readonly mariadb: Mariadb
  /** Between MySQL and every way but text tables, if MySQL is to be at a distance. */
  readonly proxy: Proxy
  start(way: Way, platform: Platform, distant: boolean): Promise<Contestant & { stop(): Promise<void> }>
  stop(): Promise<void>
}

type Table = { readonly parameter: string, readonly search: string, readonly query: string, readonly absence?: string }

/** What is needed to accept and route mail, as in the drill. */
const few: Readonly<Record<string, Table>> = {
  virtual_domain: {
    parameter: 'virtual_alias_domains', search: 'exact', query: "SELECT domain FROM virtual_domain WHERE domain='%s'",
  },
  virtual_alias: { parameter: 'virtual_alias_maps', search: 'virtual', query: "SELECT goto FROM alias WHERE address='%s'" },
  relay_domain: { parameter: 'relay_domains', search: 'domain', query: "SELECT domain FROM relay_domain WHERE domain='%s'" },
  relay_recipient: {
    parameter: 'relay_recipient_maps', search: 'recipient', query: "SELECT 'ok' FROM relay_recipient WHERE address='%s'",
  },
  transport: { parameter: 'transport_maps', search: 'transport', query: "SELECT nexthop FROM transport WHERE pattern='%s'" },
}

/** What platforms add: Postfix asks these tables for each client, sender and recipient. */
const more: Readonly<Record<string, Table>> = {
  client_access: {
    parameter: 'check_client_access', search: 'access', absence: 'passes',
    query: "SELECT action FROM client_access WHERE client='%s'",
  },
  sender_access: {
    parameter: 'check_sender_access', search: 'access', absence: 'passes',
    query: "SELECT action FROM sender_access WHERE sender='%s'",
  },
  recipient_access: {
    parameter: 'check_recipient_access', search: 'access', absence: 'passes',
    query: "SELECT action FROM recipient_access WHERE recipient='%s'",
  },
  sender_bcc: { parameter: 'sender_bcc_maps', search: 'recipient', query: "SELECT bcc FROM sender_bcc WHERE sender='%s'", absence: 'passes' },
  recipient_bcc: {
    parameter: 'recipient_bcc_maps', search: 'recipient', query: "SELECT bcc FROM recipient_bcc WHERE recipient='%s'", absence: 'passes',
  },
}

/** The name of the table that a query reads: its rows fill the text file, too. */
const tableOf = (query: string): string => /FROM (\w+)/.exec(query)?.[1] ?? ''

/** SQL that inserts the recipients that smtp-source(1) makes of PREFIX: 1PREFIX@…, since Postfix 3.10 PREFIX0@…. */
export const insertRecipients = (prefix: string, count: number): string => `
  INSERT INTO relay_recipient SELECT CONCAT(seq, '${prefix}@relay.example') FROM seq_1_to_${count}
    UNION ALL SELECT CONCAT('${prefix}', seq - 1, '@relay.example') FROM seq_1_to_${count};`

const sql = (recipients: number): string => `
  CREATE TABLE virtual_domain (domain VARCHAR(255) PRIMARY KEY);
  INSERT INTO virtual_domain VALUES ('v.example');
  CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT NOT NULL);
  INSERT INTO alias VALUES ('info@v.example', '1box@relay.example');
  CREATE TABLE relay_domain (domain VARCHAR(255) PRIMARY KEY);
  INSERT INTO relay_domain VALUES ('relay.example');
  CREATE TABLE relay_recipient (address VARCHAR(255) PRIMARY KEY);
  ${insertRecipients('box', recipients)}
  CREATE TABLE transport (pattern VARCHAR(255) PRIMARY KEY, nexthop VARCHAR(255));
  INSERT INTO transport VALUES ('relay.example', 'discard:'), ('*', 'discard:');
  CREATE TABLE client_access (client VARCHAR(255) PRIMARY KEY, action VARCHAR(255));
  INSERT INTO client_access VALUES ('192.0.2.1', 'REJECT');
  CREATE TABLE sender_access (sender VARCHAR(255) PRIMARY KEY, action VARCHAR(255));
  INSERT INTO sender_access VALUES ('spam@elsewhere.example', 'REJECT');
  CREATE TABLE recipient_access (recipient VARCHAR(255) PRIMARY KEY, action VARCHAR(255));
  INSERT INTO recipient_access VALUES ('closed@relay.example', 'REJECT');
  CREATE TABLE sender_bcc (sender VARCHAR(255) PRIMARY KEY, bcc VARCHAR(255));
  INSERT INTO sender_bcc VALUES ('boss@relay.example', '1box@relay.example');
  CREATE TABLE recipient_bcc (recipient VARCHAR(255) PRIMARY KEY, bcc VARCHAR(255));
  INSERT INTO recipient_bcc VALUES ('archive@relay.example', '1box@relay.example');
`

/** Gives the daemon some ten times the CPU share of another service, as CPUWeight in holdfast.service does. */
const weigh = (pid: number): void => {
  const file = `/proc/${pid}/autogroup`
  if (existsSync(file)) writeFileSync(file, '-10')
}

const mainCf = (tables: Readonly<Record<string, Table>>, name: (map: string) => string): Record<string, string> => {
  const settings: Record<string, string> = {}
  const restrictions: string[] = []
  for (const [map, { parameter }] of Object.entries(tables)) {
    if (parameter.startsWith('check_')) restrictions.push(`${parameter} ${name(map)}`)
    else settings[parameter] = name(map)
  }
  return {
    ...settings,
    smtpd_recipient_restrictions: [...restrictions, 'reject_unauth_destination'].join(', '),
    // With its defaults Postfix would slow the client down on purpose, and the bench would measure that.
    smtpd_client_connection_count_limit: '0',
    // A fast session asks for more recipients than the thousand that Postfix allows by default.
    smtpd_recipient_limit: '100000',
    in_flow_delay: '0',
    default_process_limit: '100',
  }
}

/** Starts MariaDB with so many recipients, such as 1box@relay.example. */
export const startMailStage = async (recipients: number): Promise<MailStage> => {
  const mariadb = await startMariadb({ args: ['--max-connections=800', '--innodb-buffer-pool-size=128M'], sql: sql(recipients) })
  const proxy = await startProxy({ host: mariadb.host, port: mariadb.port })
  const textDir = freshFolder()

  const writeTexts = async (): Promise<void> => {
    for (const { query } of Object.values({ ...few, ...more })) {
      const table = tableOf(query)
      const rows = await mariadb.sql(`SELECT * FROM ${table}`)
      const file = join(textDir, table)
      writeFileSync(file, rows.map(row => {
        const [key, value = 'ok'] = Object.values(row).map(String)
        return `${key} ${value}\n`
      }).join(''))
      const { stderr } = await postmapMake(`hash:${file}`)
      if (stderr !== '') throw new Error(stderr)
    }
  }
  await writeTexts()

  const start: MailStage['start'] = async (way, platform, distant) => {
    const tables = platform === 'few maps' ? few : { ...few, ...more }
    const dir = freshFolder()
    const server = distant ? `${proxy.host}:${proxy.port}` : `unix:${mariadb.socket}`
    const stops: (() => unknown)[] = []
    for (const [map, { query }] of Object.entries(tables)) {
      writeFileSync(join(dir, `${map}.cf`), `hosts = ${server}\nuser = ${mariadb.user}\npassword = ${mariadb.password}\n`
        + `dbname = ${mariadb.database}\nquery = ${query}\n`)
    }
    let holdfast: Awaited<ReturnType<typeof startHoldfast>> | undefined
    const caches: (() => number)[] = []
    const startDaemon = async (withRedis: boolean): Promise<void> => {
      const redis = withRedis ? await startRedis() : undefined
      if (redis !== undefined) {
        stops.push(() => redis.stop())
        caches.push(() => redis.pid())
      }
      holdfast = await startHoldfast(at => JSON.stringify({
        listen: [{ socketmap: `unix:${at}/s`, mode: '0666' }],
        health: 'off',
        ...redis === undefined ? {} : { redis: { path: redis.socket } },
        maps: Object.fromEntries(Object.entries(tables).map(([map, { search, absence }]) =>
          [map, { search, cf: join(dir, `${map}.cf`), ...absence === undefined ? {} : { absence } }])),
      }))
      stops.push(() => holdfast?.kill())
      weigh(holdfast.pid())
    }
    const nameOf = async (): Promise<(map: string) => string> => {
      switch (way) {
        case 'text tables': return map => `hash:${join(textDir, tableOf(tables[map]?.query ?? ''))}`
        case 'mysql:': return map => `mysql:${join(dir, `${map}.cf`)}`
        case 'proxy:mysql:': return map => `proxy:mysql:${join(dir, `${map}.cf`)}`
        case 'memcache:': {
          const memcached = await startMemcached()
          stops.push(() => memcached.stop())
          caches.push(() => memcached.pid())
          return map => {
            const file = join(dir, `${map}.memcache.cf`)
            writeFileSync(file, `memcache = inet:127.0.0.1:${memcached.port}\nkey_format = ${map}:%s\n`
              + `backup = proxy:mysql:${join(dir, `${map}.cf`)}\n`)
            return `memcache:${file}`
          }
        }
        case 'Holdfast':
        case 'Holdfast, Redis':
          await startDaemon(way === 'Holdfast, Redis')
          return map => `socketmap:unix:${join(holdfast?.dir ?? '', 's')}:${map}`
        default: return way satisfies never
      }
    }
    const postfix = await startPostfix({ mainCf: {
      ...mainCf(tables, await nameOf()),
      proxy_read_maps: Object.keys(tables).map(map => `proxy:mysql:${join(dir, `${map}.cf`)}`).join(' '),
    } })
    stops.push(() => postfix.stop())
    return {
      way, platform, postfix,
      helpers: () => ({
        holdfast: holdfast === undefined ? [] : [holdfast.pid()],
        cache: caches.map(pid => pid()),
      }),
      stop: async () => {
        for (const each of stops.reverse()) await each()
      },
    }
  }
  return {
    mariadb, proxy, start,
    stop: async () => {
      await proxy.stop()
      await mariadb.stop()
    },
  }
}

/** The pid of the master(8) of a Postfix. */
export const masterPid = ({ queueDir }: Postfix): number => Number(readFileSync(join(queueDir, 'pid', 'master.pid'), 'latin1'))
