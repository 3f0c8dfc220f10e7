/**
 * How long a daemon takes from the start of its process to its first answer, and
 * how much CPU and memory an idle one uses. Each round also starts `node -e 0`,
 * which does nothing, so that other work of the machine slows both down alike.
 */
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { encodeNetstring } from '../../proto/netstring.js'
import { run, startChild } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { startRedis } from '../fixtures/redis.js'
import { cpuSeconds, residentBytes } from './accounts.js'
import { median } from './median.js'
import { map, startServed, startTable } from './stage.js'

export type Start = {
  readonly of: string
  readonly leastMs: number
  readonly medianMs: number
  /** The ratio to the time of `node -e 0`: the median of the rounds. */
  readonly ofNode: number
  /** Resident memory right after the first answer. */
  readonly residentMb: number
}

type Took = { readonly ms: number, readonly residentMb: number }

const key = 'user0@example.com'
const request = `${map} ${key}`

/** Resolves with the first reply on the socket; waits while nobody listens there, and rejects on any other error. */
const firstReply = async (path: string): Promise<string> => {
  for (;;) {
    try {
      return await new Promise((resolve, reject) => {
        const socket = connect(path, () => socket.write(encodeNetstring(request)))
        socket.once('error', reject).once('close', () => reject(new Error('closed without an answer')))
        socket.once('data', reply => {
          resolve(String(reply))
          socket.destroy()
        })
      })
    } catch (error) {
      const isNobodyThere = error instanceof Error && 'code' in error
        && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED')
      if (!isNobodyThere) throw error
      await setTimeout(1)
    }
  }
}

const startDaemon = async (settings: Readonly<Record<string, unknown>>): Promise<Took> => {
  const folder = freshFolder()
  const [file, socket] = [join(folder, 'holdfast.yaml'), join(folder, 's')]
  writeFileSync(join(folder, 'table'), `${key} box0@example.net\n`)
  writeFileSync(file, JSON.stringify({
    listen: [{ socketmap: `unix:${socket}` }], health: `127.0.0.1:${await freePort()}`, ...settings,
  }))
  const begun = performance.now()
  const child = await startChild(process.execPath, [mainFile, 'serve', file])
  try {
    const reply = await Promise.race([firstReply(socket), child.exited.then(() => { throw new Error(child.output()) })])
    const ms = performance.now() - begun
    if (!reply.includes('OK box0@example.net')) throw new Error(`the first answer was ${reply}`)
    return { ms, residentMb: residentBytes([child.pid]) / 1e6 }
  } finally {
    await child.kill()
    removeFolder(folder)
  }
}

const startNode = async (): Promise<Took> => {
  const begun = performance.now()
  await run(process.execPath, ['-e', '0'])
  return { ms: performance.now() - begun, residentMb: 0 }
}


/** Starts each kind of daemon once a round. */
const measureStarts = async (table: Mariadb, rounds: number): Promise<readonly Start[]> => {
  const kinds = {
    'node -e 0': startNode,
    'text table': () => startDaemon({ maps: { [map]: { search: 'virtual', text: 'table' } } }),
    'MySQL': () => startDaemon({
      databases: { main: { hosts: `unix:${table.socket}`, user: table.user, password: table.password, dbname: table.database } },
      maps: { [map]: { search: 'virtual', database: 'main', query: 'SELECT goto FROM alias WHERE address=\'%s\'' } },
    }),
  }
  const turns: Record<string, Took>[] = []
  for (let round = 0; round < rounds; round++) {
    const turn: Record<string, Took> = {}
    for (const [of, start] of Object.entries(kinds)) turn[of] = await start()
    turns.push(turn)
  }
  return Object.keys(kinds).map(of => {
    const took = turns.flatMap(turn => turn[of] ?? [])
    return {
      of,
      leastMs: Math.round(Math.min(...took.map(({ ms }) => ms))),
      medianMs: Math.round(median(took.map(({ ms }) => ms))),
      ofNode: median(took.map(({ ms }, index) => ms / (turns[index]?.['node -e 0']?.ms ?? NaN))),
      residentMb: Math.round(median(took.map(({ residentMb }) => residentMb))),
    }
  })
}

/** After so long the garbage of the start is collected. */
const settleSeconds = 90
const idleSeconds = 30

/** Resolves with five starts for each round, and with what an idle daemon with MySQL, Redis and HTTP uses. */
export const runStart = async (rounds: number, say: (text: string) => void): Promise<unknown> => {
  const table = await startTable(1)
  const redis = await startRedis()
  try {
    const starts = await measureStarts(table, rounds * 5)
    say(`${'to the first answer'.padEnd(22)}least ms  median ms  to node  RSS MB`)
    for (const { of, leastMs, medianMs, ofNode, residentMb } of starts) {
      say(`${of.padEnd(22)}${String(leastMs).padStart(8)}${String(medianMs).padStart(11)}`
        + `${ofNode.toFixed(2).padStart(9)}${String(residentMb || '').padStart(8)}`)
    }
    const served = await startServed({ table, redis, memoryEntries: 200_000 })
    try {
      await firstReply(served.endpoint('unix').slice('unix:'.length))
      await setTimeout(settleSeconds * 1e3)
      const before = cpuSeconds(served.pids())
      await setTimeout(idleSeconds * 1e3)
      const idleShare = (cpuSeconds(served.pids()) - before) / idleSeconds
      const idleMb = Math.round(residentBytes(served.pids()) / 1e6)
      say(`idle: ${(idleShare * 100).toFixed(2)} % of a core, ${idleMb} MB`)
      return { starts, idleShare, idleMb }
    } finally {
      await served.close()
    }
  } finally {
    await redis.stop()
    await table.stop()
  }
}
