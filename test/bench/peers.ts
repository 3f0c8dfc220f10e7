/**
 * Holdfast beside what Postfix has without it, measured by Postfix's own client:
 * several `postmap -q -` at once, through mysql:, proxy:mysql:, memcache: and
 * Holdfast's socketmap:. The time of as many runs without keys is subtracted.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../fixtures/child.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMemcached } from '../fixtures/memcached.js'
import { startPostfix } from '../fixtures/postfix.js'
import type { Postfix } from '../fixtures/postfix.js'
import { cpuSeconds, processTree } from './accounts.js'
import { map, startServed, startTable } from './stage.js'

const entries = 10_000
const streamSteps = [1, 16, 64]
const lookups = 64_000

type Peer = { readonly name: string, readonly table: string, pids(): readonly number[] }
type Run = { readonly seconds: number, readonly clientSeconds: number, readonly serverSeconds: number }
export type PeerRow = {
  readonly name: string
  readonly streams: number
  readonly lookupsPerSecond: number
  readonly serverCpuUs: number
  readonly clientCpuUs: number
}

/** Runs `streams` postmaps at once on `keyFile`. The shell's `times` gives the sum of their CPU time. */
const runStreams = async (postfix: Postfix, peer: Peer, streams: number, keyFile: string): Promise<Run> => {
  const before = cpuSeconds(peer.pids())
  const start = performance.now()
  const script = 'n=$1; while [ $n -gt 0 ]; do postmap -c "$2" -q - "$3" < "$4" > "$5/$n" & n=$((n - 1)); done; wait; times'
  const output = freshFolder()
  const { stdout, stderr } = await run('sh', ['-c', script, 'sh', String(streams), postfix.configDir, peer.table, keyFile, output])
  const seconds = (performance.now() - start) / 1e3
  if (stderr !== '') throw new Error(`${peer.name}: ${stderr}`)
  const clientSeconds = [...(stdout.split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)]
    .reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0)
  const { stdout: answers } = await run('sh', ['-c', 'cat "$1"/* | wc -l; cat "$2" | wc -l', 'sh', output, keyFile])
  const [answered, keys] = answers.trim().split(/\s+/).map(Number)
  if (answered !== (keys ?? 0) * streams) throw new Error(`${peer.name}: ${answered} answers to ${streams} times ${keys} keys`)
  return { seconds, clientSeconds, serverSeconds: cpuSeconds(peer.pids()) - before }
}

/** Runs all peers and resolves with a row for each; rejects if one answers fewer keys than it was asked for. */
export const runPeers = async (say: (text: string) => void): Promise<readonly PeerRow[]> => {
  const table = await startTable(entries)
  const memcached = await startMemcached()
  const holdfast = await startServed({ table, memoryEntries: entries })
  const dir = freshFolder()
  const cf = join(dir, 'mysql.cf')
  writeFileSync(cf, `hosts = unix:${table.socket}\nuser = ${table.user}\npassword = ${table.password}\ndbname = ${table.database}\n`
    + 'query = SELECT goto FROM alias WHERE address=\'%s\'\n')
  const memcacheCf = join(dir, 'memcache.cf')
  writeFileSync(memcacheCf, `memcache = inet:127.0.0.1:${memcached.port}\nbackup = mysql:${cf}\nttl = 3600\n`)
  const postfix = await startPostfix({ mainCf: { proxy_read_maps: `proxy:mysql:${cf}` } })
  // proxymap(8) is a child of master(8). Its other children don't work here, since only postmap asks.
  const master = Number(readFileSync(join(postfix.queueDir, 'pid', 'master.pid'), 'latin1'))
  const peers: readonly Peer[] = [
    { name: 'mysql:', table: `mysql:${cf}`, pids: () => [table.pid()] },
    { name: 'proxy:mysql:', table: `proxy:mysql:${cf}`, pids: () => [table.pid(), ...processTree(master)] },
    { name: 'memcache: (warm)', table: `memcache:${memcacheCf}`, pids: () => [table.pid(), memcached.pid()] },
    { name: 'Holdfast socketmap:', table: `socketmap:${holdfast.endpoint('unix')}:${map}`, pids: () => [holdfast.daemon.pid()] },
  ]
  const rows: PeerRow[] = []
  try {
    const keyFile = (count: number): string => {
      const file = join(dir, `keys-${count}`)
      writeFileSync(file, Array.from({ length: count }, (_, n) => `user${n * 7919 % entries}@example.com\n`).join(''))
      return file
    }
    for (const peer of peers) {
      await runStreams(postfix, peer, 1, keyFile(entries))
      for (const streams of streamSteps) {
        const perStream = lookups / streams
        const start = await runStreams(postfix, peer, streams, keyFile(1))
        const all = await runStreams(postfix, peer, streams, keyFile(perStream))
        const asked = (perStream - 1) * streams
        const row = {
          name: peer.name, streams,
          lookupsPerSecond: asked / (all.seconds - start.seconds),
          serverCpuUs: (all.serverSeconds - start.serverSeconds) * 1e6 / asked,
          clientCpuUs: (all.clientSeconds - start.clientSeconds) * 1e6 / asked,
        }
        rows.push(row)
        say(`${row.name.padEnd(22)}${String(streams).padStart(4)} streams${row.lookupsPerSecond.toFixed(0).padStart(9)} lookups/s`
          + `${row.serverCpuUs.toFixed(1).padStart(8)} µs server${row.clientCpuUs.toFixed(1).padStart(8)} µs client`)
      }
    }
    return rows
  } finally {
    await postfix.stop()
    await holdfast.close()
    await memcached.stop()
    await table.stop()
  }
}
