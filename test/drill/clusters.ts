/**
 * `npm run drill -- --clusters`: the MySQL clusters of larger sites break and come back while clients ask: a primary
 * and its replica, HAProxy in front of two servers, a Galera cluster of three.
 *
 * All the time, clients ask for recipients that were asked for before (each must be found), for some that were not
 * (never absent), and for strangers (never found). All settings but `hosts` and `max_lag` are the defaults.
 * Each step inserts a row, and the drill measures the time until Holdfast finds it: at most one `reset` if no host was
 * left.
 */
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import type { Connection } from 'mysql2/promise'
import { startChild } from '../fixtures/child.js'
import type { Child } from '../fixtures/child.js'
import { startHoldfast } from '../fixtures/daemon.js'
import { startGalera, untilStatus } from '../fixtures/galera.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { socketmapAsk } from '../fixtures/wire.js'

const rows = 2_000
const tables = 'CREATE TABLE alias (address VARCHAR(190) PRIMARY KEY, goto TEXT);'
  + ` INSERT INTO alias SELECT CONCAT('user', seq, '@example.com'), CONCAT('box', seq) FROM seq_1_to_${rows};`
const monitor = 'GRANT SLAVE MONITOR ON *.* TO \'holdfast\'@\'%\';'

type Step = {
  readonly name: string
  readonly act: () => Promise<void>
  /** The server on which to insert the row that has to be found after the step; null: none accepts one. */
  readonly writer: () => Mariadb | null
}

export type ClusterReport = {
  readonly site: string
  readonly steps: readonly { readonly name: string, readonly asked: number, readonly deferred: number, readonly backAfterMs: number | null }[]
  /** The replies that break a rule. */
  readonly wrong: readonly string[]
}

const drill = async (
  site: string, hosts: readonly string[], account: Mariadb, steps: readonly Step[], more: Readonly<Record<string, unknown>> = {},
): Promise<ClusterReport> => {
  const holdfast = await startHoldfast(dir => JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', ...more,
    databases: { db: { hosts, user: account.user, password: account.password, dbname: account.database } },
    maps: { alias: { search: 'exact', database: 'db', query: 'SELECT goto FROM alias WHERE address=\'%s\'' } },
  }))
  const ask = (key: string): Promise<string> => socketmapAsk(join(holdfast.dir, 's'), 'alias', key)
  const wrong: string[] = []
  let counts = { asked: 0, deferred: 0 }
  const judge = (step: string, key: string, reply: string, isRight: boolean): void => {
    counts.asked++
    if (reply.startsWith('TEMP ')) counts.deferred++
    if (!isRight) wrong.push(`${step}: ${key}: ${reply}`)
  }
  const known = Array.from({ length: 50 }, (_, at) => at + 1)
  for (const at of known) judge('start', `user${at}`, await ask(`user${at}@example.com`), true)
  let step = 'all is well'
  let isOver = false
  let next = 100
  const clients = Array.from({ length: 4 }, async (_, client) => {
    for (let turn = client; !isOver; turn++) {
      const at = known[turn % known.length] ?? 1
      judge(step, `known user${at}`, ...await ask(`user${at}@example.com`).then(reply => [reply, reply === `OK box${at}`] as const))
      const other = next = next % rows + 1
      judge(step, `user${other}`, ...await ask(`user${other}@example.com`).then(reply => [reply, !reply.startsWith('NOTFOUND')] as const))
      judge(step, 'stranger', ...await ask(`stranger${turn}-${client}@example.com`).then(reply => [reply, !reply.startsWith('OK')] as const))
      await setTimeout(5)
    }
  })
  const report: { name: string, asked: number, deferred: number, backAfterMs: number | null }[] = []
  for (const [at, { name, act, writer }] of steps.entries()) {
    step = name
    counts = { asked: 0, deferred: 0 }
    await act()
    const begin = performance.now()
    const server = writer()
    let backAfterMs: number | null = null
    if (server !== null) {
      await server.sql(`INSERT INTO alias VALUES ('step${at}@example.com', 'box')`)
      while (await ask(`step${at}@example.com`) !== 'OK box') await setTimeout(20)
      backAfterMs = Math.round(performance.now() - begin)
    }
    // A pause that is longer than any breaker takes to open.
    await setTimeout(3_000)
    report.push({ name, ...counts, backAfterMs })
  }
  isOver = true
  await Promise.all(clients)
  await holdfast.kill()
  return { site, steps: report, wrong }
}

const at = ({ port }: { readonly port: number }): string => `127.0.0.1:${port}`

/** Starts a primary and a replica that follows it. */
const startPair = async (): Promise<readonly [Mariadb, Mariadb]> => {
  const primary = await startMariadb({ args: ['--server-id=1', '--log-bin=changes', '--binlog-format=ROW', '--report-host=a'] })
  await primary.sql(`${monitor} GRANT REPLICATION SLAVE ON *.* TO follower IDENTIFIED BY 'f'`)
  const replica = await startMariadb({ args: ['--server-id=2', '--log-bin=changes', '--binlog-format=ROW'], sql: monitor })
  const [position] = await primary.sql('SHOW MASTER STATUS')
  await replica.sql(`CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=${primary.port}, MASTER_USER='follower', MASTER_PASSWORD='f',
    MASTER_HEARTBEAT_PERIOD=1, MASTER_CONNECT_RETRY=1, MASTER_LOG_FILE='${String(position?.['File'])}', MASTER_LOG_POS=${String(position?.['Position'])}; START SLAVE`)
  await primary.sql(tables)
  const [end] = await primary.sql('SHOW MASTER STATUS')
  await replica.sql(`SELECT MASTER_POS_WAIT('${String(end?.['File'])}', ${String(end?.['Position'])}, 60)`)
  return [primary, replica]
}

const replicaPair = async (): Promise<ClusterReport> => {
  const [primary, replica] = await startPair()
  const report = await drill('a primary and its replica, max_lag 10s', [at(primary), at(replica)], primary, [
    { name: 'the primary is killed', act: () => primary.kill(), writer: () => null },
    { name: 'the replica is promoted', act: async () => { await replica.sql('STOP SLAVE; RESET SLAVE ALL') }, writer: () => replica },
    { name: 'the new primary hangs', act: () => replica.pause(), writer: () => null },
    { name: 'it goes on', act: async () => replica.resume(), writer: () => replica },
    { name: 'it is killed: no host is left', act: () => replica.kill(), writer: () => null },
    { name: 'it comes back', act: () => replica.start(), writer: () => replica },
  ], { max_lag: '10s' })
  await Promise.all([primary.stop(), replica.stop()])
  return report
}

const accepts = (port: number): Promise<boolean> => new Promise(resolve => {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => resolve(false)).on('connect', () => {
    socket.destroy()
    resolve(true)
  })
})

const haproxy = async (): Promise<ClusterReport> => {
  const [primary, replica] = await startPair()
  await primary.sql('CREATE USER haproxy@\'%\'')
  const folder = freshFolder()
  const port = await freePort()
  const config = join(folder, 'haproxy.cfg')
  writeFileSync(config, `defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
listen mysql
  bind 127.0.0.1:${port}
  option mysql-check user haproxy
  default-server inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions
  server first ${at(primary)} check
  server second ${at(replica)} check backup
`)
  let balancer: Child | null = null
  const start = async (): Promise<void> => {
    balancer = await startChild('haproxy', ['-db', '-f', config])
    while (!await accepts(port)) await setTimeout(20)
  }
  await start()
  // Wait until HAProxy's health checks have found both servers.
  await setTimeout(2_000)
  const report = await drill('HAProxy in front of a primary and its replica', [at({ port })], primary, [
    { name: 'the primary is killed', act: () => primary.kill(), writer: () => null },
    { name: 'the replica is promoted', act: async () => { await replica.sql('STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0') }, writer: () => replica },
    { name: 'the balancer is killed', act: async () => { await balancer?.kill() }, writer: () => null },
    { name: 'it comes back', act: start, writer: () => replica },
    { name: 'the replica is killed too: the balancer lets in and hangs up', act: () => replica.kill(), writer: () => null },
    { name: 'it comes back, and the balancer finds it within a second', act: () => replica.start(), writer: () => replica },
  ])
  await Promise.all([primary.stop(), replica.stop(), (balancer as Child | null)?.kill()])
  return report
}

/** Each step breaks the node that Holdfast asks, and is measured once the other two have noticed. */
const galera = async (): Promise<ClusterReport> => {
  const nodes = await startGalera()
  await nodes[0].sql(`${monitor} ${tables}`)
  let [broken, second, third] = nodes
  const choose = async (): Promise<void> => {
    const sessions = await Promise.all(nodes.map(async node => {
      const [row] = await node.sql(`SELECT COUNT(*) AS count FROM information_schema.PROCESSLIST WHERE USER = '${node.user}'`)
      return { node, count: Number(row?.['count']) }
    }))
    sessions.sort((x, y) => y.count - x.count)
    const [most, other, last] = sessions
    if (most === undefined || other === undefined || last === undefined) throw new Error('no nodes')
    broken = most.node
    second = other.node
    third = last.node
  }
  const healed = async (): Promise<void> => {
    await untilStatus(second, 'cluster_size', '3')
    await untilStatus(broken, 'local_state_comment', 'Synced')
  }
  const isolate = (isIsolated: boolean): Promise<unknown> =>
    broken.sql(`SET GLOBAL wsrep_provider_options='gmcast.isolate=${isIsolated ? 1 : 0}'`)
  let lock: Connection | null = null
  const report = await drill('a Galera cluster of three, max_lag 10s', nodes.map(at), nodes[0], [
    {
      name: 'the node that is asked is killed', writer: () => second,
      act: async () => {
        await choose()
        await broken.kill()
        await untilStatus(second, 'cluster_size', '2')
      },
    },
    {
      name: 'it comes back, and gets its state from another', writer: () => second,
      act: async () => {
        await broken.start()
        await healed()
      },
    },
    {
      name: 'the node that is asked is cut off: non-Primary', writer: () => second,
      act: async () => {
        await choose()
        await isolate(true)
        await untilStatus(second, 'cluster_size', '2')
      },
    },
    {
      name: 'it is back in the cluster', writer: () => second,
      act: async () => {
        await isolate(false)
        await healed()
      },
    },
    {
      name: 'the node that is asked is desynced, and no longer takes rows', writer: () => second,
      act: async () => {
        await choose()
        await broken.sql('SET GLOBAL wsrep_desync=ON')
        lock = await createConnection({ socketPath: broken.socket, user: 'root' })
        await lock.query('FLUSH TABLES WITH READ LOCK')
        // Holdfast reads a node's state once a second. As with max_lag, it may miss a row that is younger than that.
        await setTimeout(1_500)
      },
    },
    {
      name: 'it takes them again', writer: () => second,
      act: async () => {
        await lock?.end()
        await broken.sql('SET GLOBAL wsrep_desync=OFF')
        await healed()
      },
    },
    {
      name: 'two are killed: the third has lost its quorum', writer: () => null,
      act: async () => {
        await choose()
        await Promise.all([broken.kill(), second.kill()])
        await untilStatus(third, 'cluster_status', 'non-Primary')
      },
    },
    {
      name: 'the third is made the cluster', writer: () => third,
      act: async () => {
        await third.sql('SET GLOBAL wsrep_provider_options=\'pc.bootstrap=1\'')
        await untilStatus(third, 'ready', 'ON')
      },
    },
  ], { max_lag: '10s' })
  await Promise.all(nodes.map(node => node.stop()))
  return report
}

export const clusters = { pair: replicaPair, haproxy, galera } as const

const line = ({ name, asked, deferred, backAfterMs }: ClusterReport['steps'][number]): string =>
  `  ${name}: ${asked} lookups, ${deferred} deferred${backAfterMs === null ? '' : `; a new row was found after ${backAfterMs} ms`}`

export const clusterText = ({ site, steps, wrong }: ClusterReport): string =>
  [site, ...steps.map(line), wrong.length === 0 ? '  no wrong reply' : `  WRONG (${wrong.length}):`, ...wrong.slice(0, 10).map(each => `    ${each}`)].join('\n')
