/**
 * A daemon with two workers, over MariaDB: clients come to them in turn, each
 * has a memory of its own, and what concerns the node reaches both.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { mailConfig, mailSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { openWire, socketmapRequest } from '../fixtures/wire.js'
import type { Wire } from '../fixtures/wire.js'

const key = 'info@v.example'
const known = 'OK box@relay.example'

const ask = async (wire: Wire, map: string, wanted: string): Promise<string> => {
  wire.send(socketmapRequest(map, wanted))
  return String(await wire.netstring())
}

const mariadb = await startMariadb({ sql: mailSql(25) })
t.teardown(() => mariadb.stop())

const start = async (t: Test, more: Readonly<Record<string, unknown>> = {}) => {
  const port = await freePort()
  const configFor = (dir: string, changes: Readonly<Record<string, unknown>> = {}) =>
    mailConfig(dir, mariadb, { workers: 2, health: `127.0.0.1:${port}`, admin: `unix:${dir}/admin`, ...more, ...changes })
  const holdfast = await startHoldfast(dir => configFor(dir))
  t.teardown(() => holdfast.kill())
  /** As many clients as there are workers, one at each. */
  const openTwo = async (t: Test): Promise<readonly [Wire, Wire]> => {
    const open = async (): Promise<Wire> => {
      const wire = await openWire({ path: join(holdfast.dir, 's') })
      t.teardown(() => wire.close())
      return wire
    }
    return [await open(), await open()]
  }
  const status = async () => await (await fetch(`http://127.0.0.1:${port}/status`)).json() as {
    readonly processes: readonly { readonly pid: number }[]
    readonly listeners: readonly { readonly connections: number }[]
    readonly maps: readonly { readonly name: string, readonly cached: { readonly origins: { readonly table: number, readonly memory: number } } }[]
  }
  const metrics = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const command = (...args: readonly string[]) => run(process.execPath, [mainFile, ...args, '--config', join(holdfast.dir, 'holdfast.yaml')])
  return { holdfast, configFor, openTwo, status, metrics, command }
}

const [first, second] = await Promise.all([start(t), start(t)])

t.test('clients come to the workers in turn, and their figures are summed', async t => {
  const { openTwo, status, metrics, command } = first
  for (const wire of await openTwo(t)) t.equal(await ask(wire, 'virtual_alias', key), known)
  const { processes, listeners, maps } = await status()
  t.equal(processes.length, 2)
  t.equal(listeners[0]?.connections, 2)
  t.equal(maps.find(({ name }) => name === 'virtual_alias')?.cached.origins.table, 2, 'each asked the table for itself')
  t.match((await command('status')).stdout, new RegExp(`process ${processes[1]?.pid ?? 0} +answering .* MB`))
  t.match(await metrics(), 'holdfast_lookups_total{map="virtual_alias",protocol="socketmap",outcome="fresh",reason=""} 2\n')
})

t.test('a flush reaches the memory of each, and so does a reload', async t => {
  const { holdfast, configFor, openTwo, command } = first
  const wires = await openTwo(t)
  const edited = 'own@v.example'
  for (const wire of wires) t.equal(await ask(wire, 'virtual_alias', edited), 'OK one@relay.example')
  await mariadb.sql(`UPDATE alias SET goto = 'two@relay.example' WHERE address = '${edited}'`)
  for (const wire of wires) t.equal(await ask(wire, 'virtual_alias', edited), 'OK one@relay.example')
  t.match((await command('flush', 'virtual_alias', edited)).stdout, 'asked anew: found')
  for (const wire of wires) t.equal(await ask(wire, 'virtual_alias', edited), 'OK two@relay.example')
  t.match((await command('explain', edited)).stdout, 'two@relay.example')

  holdfast.configure(configFor(holdfast.dir, { maps: { other: { search: 'exact', database: 'mail', query: 'SELECT \'other\' FROM alias WHERE address=\'%s\' LIMIT 1' } } }))
  holdfast.reload()
  await holdfast.logged(/reloaded: 1 maps: other/)
  for (const wire of wires) {
    t.equal(await ask(wire, 'other', key), 'OK other')
    t.match(await ask(wire, 'virtual_alias', key), /^TEMP unknown-map/)
  }
})

t.test('a worker that is killed takes its own clients with it, the other goes on, and another takes its place', async t => {
  const { openTwo, status, holdfast } = second
  const wires = await openTwo(t)
  for (const wire of wires) t.equal(await ask(wire, 'virtual_alias', key), known)
  const before = (await status()).processes.map(({ pid }) => pid)
  process.kill(before[0] ?? 0, 'SIGKILL')
  await Promise.race(wires.map(wire => wire.ended))
  const survivors: Wire[] = []
  for (const wire of wires) {
    const answer = await Promise.race([ask(wire, 'virtual_alias', key).catch(() => null), wire.ended.then(() => null)])
    if (answer !== null) {
      t.equal(answer, known)
      survivors.push(wire)
    }
  }
  t.equal(survivors.length, 1)
  await holdfast.logged(/worker 0 ended by SIGKILL/)
  for (const wire of await openTwo(t)) t.equal(await ask(wire, 'virtual_alias', key), known, 'while one is missing, the other takes all')
  await holdfast.logged(/worker 0 answers again/)
  for (const wire of await openTwo(t)) t.equal(await ask(wire, 'virtual_alias', key), known)
  const after = (await status()).processes.map(({ pid }) => pid)
  t.equal(after.length, 2)
  t.not(after[0], before[0])
  t.equal(after[1], before[1])
})

t.test('SIGTERM to the whole service: a request that has come is answered, half-open clients too, and nobody is left', async t => {
  const { openTwo, status, holdfast } = second
  const [busy, leaving] = await openTwo(t)
  t.equal(await ask(busy, 'virtual_alias', key), known)
  leaving.send(socketmapRequest('virtual_alias', key))
  leaving.finish()
  t.equal(String(await leaving.netstring()), known)
  const pids = (await status()).processes.map(({ pid }) => pid)
  for (const pid of pids) process.kill(pid, 'SIGTERM')
  t.equal(await ask(busy, 'virtual_alias', key), known, 'the workers leave it to the daemon')
  t.equal((await holdfast.stop()).code, 0)
  t.same(pids.filter(pid => existsSync(`/proc/${pid}`)), [])
})

t.test('a daemon that is killed takes its workers with it', async t => {
  const { status, holdfast } = await start(t)
  const { processes } = await status()
  process.kill(holdfast.pid(), 'SIGKILL')
  await holdfast.exited()
  // Their end is their own, a moment later; a zombie has ended too.
  const lives = (pid: number): boolean => existsSync(`/proc/${pid}/stat`) && !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
  while (processes.some(({ pid }) => lives(pid))) await new Promise(resolve => setImmediate(resolve))
  t.pass()
})

t.test('each has its share of max_connections', async t => {
  const { openTwo } = await start(t, { max_connections: 2 })
  for (const wire of await openTwo(t)) t.equal(await ask(wire, 'virtual_alias', key), known)
  for (const wire of await openTwo(t)) t.match(await ask(wire, 'virtual_alias', key), /^TEMP overloaded/)
})

t.test('each writes down what it knows, and after a restart in an outage all know all of it', async t => {
  const { holdfast, configFor, openTwo } = await start(t, { snapshot: 'snapshot' })
  const keys = [key, 'multi@v.example']
  for (const [index, wire] of (await openTwo(t)).entries()) t.match(await ask(wire, 'virtual_alias', keys[index] ?? ''), /^OK /)
  await holdfast.stop()
  t.ok(existsSync(join(holdfast.dir, 'snapshot.1')))
  await mariadb.kill()
  await holdfast.start()
  for (const wire of await openTwo(t)) for (const each of keys) t.match(await ask(wire, 'virtual_alias', each), /^OK /)
  await holdfast.stop()

  holdfast.configure(configFor(holdfast.dir, { workers: 1 }))
  await holdfast.start()
  const [wire] = await openTwo(t)
  for (const each of keys) t.match(await ask(wire, 'virtual_alias', each), /^OK /)
  await holdfast.stop()
  t.notOk(existsSync(join(holdfast.dir, 'snapshot.1')), 'nobody\'s addresses are left behind')
})
