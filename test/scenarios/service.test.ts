/**
 * The daemon as a service: it tells systemd its state, takes a socket over,
 * and loses no lookup while it is replaced.
 */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { run, startChild } from '../fixtures/child.js'
import { during } from '../fixtures/during.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startNotifySocket, superviseWithSocket } from '../fixtures/service.js'
import { openWire, socketmapAsk, socketmapRequest } from '../fixtures/wire.js'

const config = (dir: string): string => {
  writeFileSync(join(dir, 'a'), 'key value\n')
  return `listen:\n  - socketmap: unix:${dir}/s\nhealth: off\nmaps:\n  m:\n    search: exact\n    text: a\n`
}

t.test('systemd is told when it is ready, reloads, lives, and stops', async t => {
  const path = join(freshFolder(), 'notify')
  const systemd = await during(t, startNotifySocket(path), 'kill')
  const holdfast = await during(t, startHoldfast(config, { env: { ...process.env, NOTIFY_SOCKET: path, WATCHDOG_USEC: '200000' } }), 'kill')
  await systemd.printed(/told .*READY=1/)
  await systemd.printed(/told .*WATCHDOG=1/)
  const before = systemd.output().length
  holdfast.reload()
  await systemd.printed(/told .*RELOADING=1[^]*told .*READY=1/, before)
  const exit = holdfast.stop()
  await systemd.printed(/told .*STOPPING=1/)
  t.equal((await exit).code, 0)
})

t.test('Holdfast serves a socket from systemd and leaves it there, so clients wait for the next process', async t => {
  const dir = freshFolder()
  const socket = join(dir, 's')
  writeFileSync(join(dir, 'holdfast.yaml'), config(dir))
  const supervisor = await during(t, superviseWithSocket(socket, [process.execPath, mainFile, 'serve', join(dir, 'holdfast.yaml')]), 'kill')
  const [, pid] = await supervisor.printed(/started (\d+)/)
  await supervisor.printed(/ready: 1 map/)
  t.equal(await socketmapAsk(socket, 'm', 'key'), 'OK value')

  process.kill(Number(pid), 'SIGTERM')
  await supervisor.printed(/ended/)
  t.ok(existsSync(socket))
  // Nobody accepts now; the kernel keeps the client and its question.
  const wire = await during(t, openWire({ path: socket }), 'close')
  wire.send(socketmapRequest('m', 'key'))
  writeFileSync(`${socket}.again`, '')
  t.equal(String(await wire.netstring()), 'OK value')
})

t.test('a start that fails closes the clients that wait at a socket from systemd, so Postfix defers at once', async t => {
  const dir = freshFolder()
  const [socket, file] = [join(dir, 's'), join(dir, 'holdfast.yaml')]
  writeFileSync(file, 'maps: {}\n')
  const supervisor = await during(t, superviseWithSocket(socket, [process.execPath, mainFile, 'serve', file]), 'kill')
  await supervisor.printed(/started/)
  const wire = await during(t, openWire({ path: socket }), 'close')
  wire.send(socketmapRequest('m', 'key'))
  await wire.ended
  await supervisor.printed(/ended/)
  writeFileSync(file, config(dir))
  writeFileSync(`${socket}.again`, '')
  await supervisor.printed(/ready: 1 map/)
  t.equal(await socketmapAsk(socket, 'm', 'key'), 'OK value')
})

t.test('a socket handed over that no listener has is logged, since nobody answers there', async t => {
  const dir = freshFolder()
  writeFileSync(join(dir, 'holdfast.yaml'), config(dir))
  const supervisor = await during(t, superviseWithSocket(join(dir, 'other'), [process.execPath, mainFile, 'serve', join(dir, 'holdfast.yaml')]), 'kill')
  await supervisor.printed(/listens on unix:.*\/other, which the configuration doesn't name/)
})

t.test('SIGTERM in the middle of a request: it is answered, and the exit code is 0', async t => {
  const holdfast = await during(t, startHoldfast(config), 'kill')
  const wire = await during(t, openWire({ path: join(holdfast.dir, 's') }), 'close')
  wire.send(socketmapRequest('m', 'key'))
  t.equal(String(await wire.netstring()), 'OK value')
  // Stopped, it finds the request and the signal at the same time.
  await holdfast.pause()
  wire.send(socketmapRequest('m', 'key'))
  const exit = holdfast.stop()
  holdfast.resume()
  t.equal(String(await wire.netstring()), 'OK value')
  t.equal((await exit).code, 0)
  t.notOk(existsSync(join(holdfast.dir, 's')))
})

t.test('systemd rates the unit at most 2.0, and finds no fault in it', async t => {
  const unit = new URL('../../../deploy/systemd/holdfast.service', import.meta.url).pathname
  const { stdout } = await run('systemd-analyze', ['security', '--offline=true', '--no-pager', unit])
  const level = Number(/exposure level for holdfast.service: ([\d.]+)/.exec(stdout)?.[1])
  t.ok(level <= 2, `rated ${level}`)
  const folder = freshFolder()
  for (const name of ['holdfast.service', 'holdfast.socket']) {
    // The program and the manual page aren't installed here.
    const text = readFileSync(new URL(`../../../deploy/systemd/${name}`, import.meta.url), 'utf8')
      .replaceAll('/usr/bin/holdfast', '/bin/true').replace(/^Documentation=.*$/m, '')
    writeFileSync(join(folder, name), text)
  }
  const verified = await run('systemd-analyze', ['verify', '--man=no', join(folder, 'holdfast.service'), join(folder, 'holdfast.socket')])
  t.same(verified.stderr.split('\n').filter(line => line.includes(folder) || line.startsWith('holdfast.')), [])
})

t.test('`holdfast reload`, which systemd runs, waits for the result, and fails if a definition has faults', async t => {
  const holdfast = await during(t, startHoldfast(config, { env: { ...process.env, RUNTIME_DIRECTORY: freshFolder() } }), 'kill')
  const env = readFileSync(`/proc/${holdfast.pid()}/environ`, 'utf8').split('\0')
  const folder = env.find(line => line.startsWith('RUNTIME_DIRECTORY='))?.slice('RUNTIME_DIRECTORY='.length)
  const reload = () => run(process.execPath, [mainFile, 'reload'], {
    env: { ...process.env, RUNTIME_DIRECTORY: folder, MAINPID: String(holdfast.pid()) },
  })
  t.match(await reload(), { code: 0, stderr: '' })
  holdfast.configure(`${config(holdfast.dir)}  n: {search: exact, text: none}\n`)
  t.match(await reload(), { code: 78, stderr: /none: can't be read: no such file or directory/ })
  holdfast.configure('listen: 1')
  t.match(await reload(), { code: 78, stderr: /not reloaded/ })
  holdfast.configure(config(holdfast.dir))
  t.match(await reload(), { code: 0 })
})

t.test('SIGHUP during the start does not end the daemon; it reloads once it is ready', async t => {
  const dir = freshFolder()
  writeFileSync(join(dir, 'holdfast.yaml'), config(dir))
  // Node handles no signal before the first line of the program has run; this file is loaded before that.
  const early = join(dir, 'early.cjs')
  writeFileSync(early, `const on = process.on
process.on = (name, ...rest) => {
  on.call(process, name, ...rest)
  if (name === 'SIGHUP') process.kill(process.pid, 'SIGHUP')
  return process
}`)
  const child = await during(t, startChild(process.execPath, ['--require', early, mainFile, 'serve', join(dir, 'holdfast.yaml')]), 'kill')
  await child.printed(/ready: 1 map[^]*reloaded: 1 map/)
  t.equal(await socketmapAsk(join(dir, 's'), 'm', 'key'), 'OK value')
})

t.test('C144 a second daemon with the same configuration takes no socket of the first, and names it', async t => {
  const holdfast = await during(t, startHoldfast(dir => `${config(dir)}admin: "unix:${dir}/admin"\n`), 'kill')
  const second = await run(process.execPath, [mainFile, 'serve', join(holdfast.dir, 'holdfast.yaml')])
  t.equal(second.code, 69)
  t.match(second.stderr, `/s: another process answers there (`)
  t.match(second.stderr, `process ${holdfast.pid()}); stop that one first`)
  const flushed = await run(process.execPath, [mainFile, 'status', '--at', `unix:${holdfast.dir}/admin`])
  t.equal(flushed.code, 0, flushed.stderr)
  holdfast.reload()
  await holdfast.logged(/ reloaded: /)
  t.equal(await socketmapAsk(join(holdfast.dir, 's'), 'm', 'key'), 'OK value')
})

t.test('Holdfast makes its socket again if it was removed, or replaced by a dead one', async t => {
  const holdfast = await during(t, startHoldfast(config), 'kill')
  const path = join(holdfast.dir, 's')
  const wire = await during(t, openWire({ path }), 'close')
  for (const spoil of [() => rmSync(path), () => { rmSync(path); writeFileSync(path, '') }]) {
    const before = holdfast.log().length
    spoil()
    if (existsSync(path)) {
      await holdfast.logged(/no client can reach it, .* exists and is not a socket/, before)
      rmSync(path)
    }
    await holdfast.logged(/made it anew/, before)
    t.equal(await socketmapAsk(path, 'm', 'key'), 'OK value')
  }
  wire.send(socketmapRequest('m', 'key'))
  t.equal(String(await wire.netstring()), 'OK value', 'who was connected stays')
  await holdfast.stop()
  t.notOk(existsSync(path))
})

/** The arguments of setpriv(1) for a daemon of another account, with the configuration in `dir`. */
const asNobody = async (dir: string): Promise<readonly string[]> => {
  // The project may lie in root's own folder, where nobody else can run it.
  const copied = await run('cp', ['-r', '--parents', 'dist/holdfast', 'package.json', dir], { cwd: join(dirname(mainFile), '../..') })
  if (copied.code !== 0) throw new Error(copied.stderr)
  return [
    '--reuid=65534', '--regid=65534', '--clear-groups',
    // What tap has each Node load writes into a folder of root's.
    'env', '-u', 'NODE_OPTIONS', process.execPath, join(dir, 'dist/holdfast/main.js'), 'serve', join(dir, 'holdfast.yaml'),
  ]
}

t.test('N21 a folder that another account owns is named, with what to do', async t => {
  const dir = freshFolder()
  writeFileSync(join(dir, 'holdfast.yaml'), config(dir).replace(`${dir}/s`, `${dir}/queue/s`))
  mkdirSync(join(dir, 'queue'), { mode: 0o700 })
  chmodSync(dir, 0o755)
  const { code, stderr } = await run('setpriv', await asNobody(dir))
  t.equal(code, 69)
  t.match(stderr, /may not make a socket in .*\/queue, which has owner 0, group root and mode 700: chown 65534 .*queue/)
})

t.test('a socket that gets another group is named, with what to do, until it has its own again', async t => {
  const holdfast = await during(t, startHoldfast(config), 'kill')
  const path = join(holdfast.dir, 's')
  const { gid } = statSync(path)
  chownSync(path, 0, 65_534)
  await holdfast.logged(/s: no client can reach it, it has group nogroup and mode (\d+) now, and had \S+ and \1: chgrp \S+ \S+ && chmod \1 /)
  chownSync(path, 0, gid)
  await holdfast.logged(/clients reach it again/)
  t.equal(await socketmapAsk(path, 'm', 'key'), 'OK value')
})

t.test('a folder that is closed to a running daemon stops its clients, not the daemon, and it says what to do', async t => {
  const dir = freshFolder()
  const queue = join(dir, 'queue')
  writeFileSync(join(dir, 'holdfast.yaml'), config(dir).replace(`${dir}/s`, `${queue}/s`))
  mkdirSync(queue)
  chownSync(queue, 65_534, 65_534)
  chmodSync(dir, 0o755)
  const daemon = await during(t, startChild('setpriv', await asNobody(dir)), 'kill')
  await daemon.printed(/ready: 1 map/)
  chownSync(queue, 0, 0)
  chmodSync(queue, 0o700)
  await daemon.printed(/queue\/s: no client can reach it, this process \(user 65534\) may not look into .*\/queue, which has /)
  chownSync(queue, 65_534, 65_534)
  await daemon.printed(/clients reach it again/)
  t.equal(await socketmapAsk(join(queue, 's'), 'm', 'key'), 'OK value')
  chownSync(queue, 0, 0)
  daemon.signal('SIGTERM')
  t.equal((await daemon.exited).code, 0, 'nor does it fail when it stops')
})

t.test('N19 with few descriptors Holdfast lowers max_connections, and still reaches MySQL', async t => {
  const mariadb = await during(t, startMariadb({ sql: 'CREATE TABLE a (k VARCHAR(90), v VARCHAR(90)); INSERT INTO a VALUES (\'key\', \'value\')' }))
  const holdfast = await during(t, startHoldfast(dir => JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off',
    maps: { m: { search: 'exact', database: 'db', query: 'SELECT v FROM a WHERE k=\'%s\'' } },
    databases: { db: {
      hosts: `127.0.0.1:${mariadb.port}`, user: mariadb.user, password: mariadb.password, dbname: mariadb.database,
    } },
  }), { command: ['prlimit', '--nofile=96:96'] }), 'kill')
  await holdfast.logged(/max_connections: \d+ instead of 4000 for each listener: this process may have 96 files/)
  const path = join(holdfast.dir, 's')
  const replies = await Promise.all(Array.from({ length: 200 }, async () => {
    const wire = await during(t, openWire({ path }), 'close')
    wire.send(socketmapRequest('m', 'key'))
    return wire.netstring().then(String, () => 'closed')
  }))
  const answered = replies.filter(reply => reply === 'OK value').length
  t.ok(answered >= 10, `${answered} answered`)
  for (const reply of replies) t.match(reply, /^(OK value|TEMP overloaded: .*|closed)$/)
  t.ok((holdfast.log().match(/more than \d+ clients/g) ?? []).length <= 2, 'and the log is not flooded')
  // Clients that are connected keep their places; Holdfast makes a cut connection to MySQL again.
  for (const { Id } of await mariadb.sql('SELECT ID AS Id FROM information_schema.processlist WHERE ID <> CONNECTION_ID() AND COMMAND <> \'Daemon\'')) {
    await mariadb.sql(`KILL ${String(Id)}`).catch(() => undefined)
  }
})
