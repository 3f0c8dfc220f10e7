/** The phases of the drill, in order: what breaks in each, and how it is repaired. */
import { setTimeout } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createConnection } from 'mysql2/promise'
import type { Connection, RowDataPacket } from 'mysql2/promise'
import { untilRunning, untilUnsure } from './probe.js'
import { deadlineMs } from './stage.js'
import type { Stage } from './stage.js'

export type Phase = {
  readonly name: string
  /** This phase follows the one before it without a repair in between: it shows the recovery. */
  readonly continues?: true
  /** Rows that the operator inserts don't reach the server: new recipients exist, but the table doesn't have them. */
  readonly isCutOff?: true
  /** The load begins after the fault, not before. */
  readonly isBrokenFirst?: true
  /** The short drill has this phase, too. */
  readonly quick?: true
  /** Holdfast itself is down for a moment. */
  readonly stopsHoldfast?: true
  /** Begins the fault. Resolves with a function that ends it, for after the phase and those that continue it. */
  go(stage: Stage): Promise<() => Promise<void>>
}

const nothing = (): Promise<void> => Promise.resolve()

const killMysql = async ({ mariadb, proxy }: Stage): Promise<void> => {
  proxy.refuse()
  await mariadb.kill()
  proxy.dropAll()
}
const startMysql = async ({ mariadb, proxy }: Stage): Promise<void> => {
  await mariadb.start()
  await proxy.pass()
}

/** Takes every connection of the server, also those that clients have; resolves with a function that frees them. */
const takeAllConnections = async ({ mariadb }: Stage): Promise<() => Promise<void>> => {
  // Root keeps this connection open: over the limit the server accepts one more connection, and only from root.
  const admin = await createConnection({ socketPath: mariadb.socket, user: 'root' })
  const taken: Connection[] = []
  // The lowest value that MariaDB allows.
  const limit = 10
  await admin.query(`SET GLOBAL max_connections = ${limit}`)
  const others = async (): Promise<readonly number[]> => {
    const [rows] = await admin.query<RowDataPacket[]>('SELECT id FROM information_schema.processlist WHERE user = ?', [mariadb.user])
    return rows.map(({ id }) => Number(id)).filter(id => !taken.some(({ threadId }) => threadId === id))
  }
  // Root's own connection is one of them.
  while (taken.length < limit - 1) {
    for (const id of await others()) await admin.query(`KILL ${id}`).catch(() => undefined)
    try {
      while (taken.length < limit - 1) {
        const { host, port, user, password, database } = mariadb
        taken.push(await createConnection({ host, port, user, password, database }))
      }
    } catch {
      // Another client took a connection first.
    }
  }
  return async () => {
    for (const connection of taken) connection.destroy()
    await admin.query('SET GLOBAL max_connections = 151')
    await admin.end()
  }
}

/** Reloads Holdfast with these parameters in addition. */
const reconfigure = async ({ holdfast, configure }: Stage, more: Readonly<Record<string, unknown>>): Promise<void> => {
  const from = holdfast.log().length
  configure(more)
  holdfast.reload()
  await holdfast.logged(/ reloaded: /, from)
}

/** Sends the commands without waiting until Redis is ready, because one of them ends the phase in which Redis loads. */
const redisCommand = async ({ redis }: Stage, ...commands: readonly (readonly [string, ...string[]])[]): Promise<void> => {
  const client = new Redis({ host: redis.host, port: redis.port, lazyConnect: true, enableReadyCheck: false })
  await client.connect()
  for (const [command, ...args] of commands) await client.call(command, ...args)
  client.disconnect()
}

const reloadEveryMs = 1_000
const restoreEveryMs = 500

/** The time to load a key (µs): so long that the few keys of the drill take longer than any phase. */
const loadDelay = String(2_000_000)

export const phases: readonly Phase[] = [
  { name: 'healthy', quick: true, go: () => Promise.resolve(nothing) },
  {
    name: 'mysqld killed', quick: true,
    go: async stage => {
      await killMysql(stage)
      return () => startMysql(stage)
    },
  },
  {
    name: 'mysqld restarted', quick: true, continues: true,
    go: async stage => {
      await startMysql(stage)
      return nothing
    },
  },
  {
    name: 'mysqld hung', quick: true,
    go: async ({ mariadb }) => {
      await mariadb.pause()
      return () => Promise.resolve(mariadb.resume())
    },
  },
  {
    name: 'blackholed',
    go: ({ proxy }) => {
      proxy.blackhole()
      return Promise.resolve(async () => {
        await proxy.pass()
        proxy.dropAll()
      })
    },
  },
  {
    name: 'slow',
    go: ({ proxy }) => {
      proxy.slow(1.5 * deadlineMs)
      return Promise.resolve(async () => {
        await proxy.pass()
        proxy.dropAll()
      })
    },
  },
  {
    name: 'alias table truncated', quick: true,
    go: async ({ mariadb }) => {
      await mariadb.sql('CREATE TABLE kept SELECT * FROM alias; TRUNCATE alias')
      return async () => { await mariadb.sql('INSERT INTO alias SELECT * FROM kept; DROP TABLE kept') }
    },
  },
  {
    name: 'tables restored in key order',
    go: async ({ mariadb }) => {
      await mariadb.sql('CREATE TABLE kept SELECT * FROM alias; CREATE TABLE kept2 SELECT * FROM relay_recipient')
      await mariadb.sql('TRUNCATE alias; TRUNCATE relay_recipient')
      let isOver = false
      const restore = async (): Promise<void> => {
        if (isOver) return
        await mariadb.sql(`
          INSERT INTO alias SELECT * FROM kept WHERE address NOT IN (SELECT address FROM alias) ORDER BY address LIMIT 5;
          INSERT INTO relay_recipient SELECT * FROM kept2 WHERE address NOT IN (SELECT address FROM relay_recipient)
            ORDER BY address LIMIT 5`)
        await setTimeout(restoreEveryMs)
        return restore()
      }
      const restoring = restore()
      return async () => {
        isOver = true
        await restoring
        await mariadb.sql(`INSERT IGNORE INTO alias SELECT * FROM kept; INSERT IGNORE INTO relay_recipient SELECT * FROM kept2;
          DROP TABLE kept; DROP TABLE kept2`)
      }
    },
  },
  {
    // The second host answers "no such row" to every query, and nobody has told Holdfast that it is empty.
    name: 'second host empty', quick: true,
    go: async stage => {
      const { proxy, emptyMariadb: { host, port }, mariadb: { user, password, database } } = stage
      const hosts = [`${proxy.host}:${proxy.port}`, `${host}:${port}`]
      await reconfigure(stage, { databases: { mail: { hosts, user, password, dbname: database } } })
      return () => reconfigure(stage, {})
    },
  },
  {
    name: 'recipient table dropped',
    go: async ({ mariadb }) => {
      // For every client a renamed table is a missing one.
      await mariadb.sql('RENAME TABLE relay_recipient TO kept')
      return async () => { await mariadb.sql('RENAME TABLE kept TO relay_recipient') }
    },
  },
  {
    name: 'password changed',
    go: async ({ mariadb, proxy }) => {
      await mariadb.sql(`ALTER USER '${mariadb.user}'@'%' IDENTIFIED BY 'another one'`)
      proxy.dropAll()
      return async () => { await mariadb.sql(`ALTER USER '${mariadb.user}'@'%' IDENTIFIED BY '${mariadb.password}'`) }
    },
  },
  {
    name: 'max_connections exhausted',
    go: takeAllConnections,
  },
  {
    // The replica can't reach its primary, where the operator inserts rows: it has all but the new ones.
    name: 'replica stopped', isCutOff: true,
    go: async ({ mariadb, holdfast }) => {
      await mariadb.sql("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='nobody'; START SLAVE")
      await untilUnsure(holdfast)
      return async () => { await mariadb.sql('STOP SLAVE; RESET SLAVE ALL') }
    },
  },
  {
    name: 'Redis killed', quick: true,
    go: async ({ redis }) => {
      await redis.kill()
      return () => redis.start()
    },
  },
  {
    name: 'Redis hung',
    go: async ({ redis }) => {
      await redis.pause()
      return () => Promise.resolve(redis.resume())
    },
  },
  {
    name: 'Redis loading',
    go: async stage => {
      await redisCommand(stage, ['CONFIG', 'SET', 'key-load-delay', loadDelay], ['CONFIG', 'SET', 'loading-process-events-interval-bytes', '1024'])
      const loaded = redisCommand(stage, ['DEBUG', 'RELOAD'])
      return async () => {
        await redisCommand(stage, ['CONFIG', 'SET', 'key-load-delay', '0'])
        await loaded
      }
    },
  },
  {
    name: 'Redis full',
    go: async stage => {
      await redisCommand(stage, ['CONFIG', 'SET', 'maxmemory-policy', 'noeviction'], ['CONFIG', 'SET', 'maxmemory', '1'])
      return () => redisCommand(stage, ['CONFIG', 'SET', 'maxmemory', '0'])
    },
  },
  {
    name: 'mysqld and Redis killed', quick: true,
    go: async stage => {
      await killMysql(stage)
      await stage.redis.kill()
      return async () => {
        await stage.redis.start()
        await startMysql(stage)
      }
    },
  },
  {
    name: 'Holdfast killed', quick: true, stopsHoldfast: true,
    go: async ({ holdfast }) => {
      await holdfast.kill()
      return nothing
    },
  },
  {
    name: 'configuration reloaded',
    go: stage => {
      let isOver = false
      const reload = async (count: number): Promise<void> => {
        if (isOver) return
        await reconfigure(stage, { soft_deadline: `${300 + count % 2}ms` })
        await setTimeout(reloadEveryMs)
        return reload(count + 1)
      }
      const reloading = reload(1)
      return Promise.resolve(async () => {
        isOver = true
        await reloading
      })
    },
  },
  {
    name: 'Holdfast restarted while mysqld is down', quick: true, isBrokenFirst: true,
    go: async stage => {
      await killMysql(stage)
      await stage.holdfast.kill()
      await untilRunning(stage.holdfast)
      return () => startMysql(stage)
    },
  },
]
