/**
 * The body of `npm test`: what the tests need is there (or is installed), all
 * tests under tap, lint beside them, and nothing is left running. Arguments name single test
 * files (`test/x/y.test.ts`). Ends with tap's counts on a line of their own;
 * exit code 0 means that all of it went well.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { run } from './fixtures/child.js'
import { forgetGroup, freshFolder, guardGroup, removeFolder } from './fixtures/guard.js'
import { fetchMysql, whyNotVariable } from './fixtures/mysql_program.js'
import { tableTypes } from './fixtures/postfix.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const isRoot = process.getuid?.() === 0
const folder = freshFolder()

const fail = (why: string): never => {
  console.error(why)
  process.exit(1)
}

/** Runs a program quietly; prints what it said and gives up if it fails. */
const must = async (command: string, args: readonly string[], stdin?: string): Promise<void> => {
  const { code, stdout, stderr } = await run(command, args, { cwd: root, ...(stdin === undefined ? {} : { stdin }) })
  if (code !== 0) fail(`${stdout}${stderr}${command} ${args.join(' ')}: exit code ${code ?? 'none'}`)
}

// Debian keeps daemons where only root's PATH looks.
process.env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`
const inPath = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(':').some(dir => dir !== '' && existsSync(join(dir, program)))

/** Which of Debian's packages aren't there. */
const missing = async (): Promise<readonly string[]> => {
  const programs = [
    ['mariadb-server', 'mariadbd'], ['redis-server', 'redis-server'], ['memcached', 'memcached'], ['postfix', 'postfix'], ['openssl', 'openssl'], ['curl', 'curl'],
    // For systemd-analyze(1), which checks our unit, and systemd-notify(1).
    ['systemd', 'systemd-notify'],
    ['chromium', 'chromium'],
    // It checks deploy/compose.yaml.
    ['docker-compose', 'docker-compose'],
    // Shells that our completion is for.
    ['zsh', 'zsh'], ['fish', 'fish'],
    // What builds our package.
    ['debhelper', 'dh'],
    // They check and show the manual.
    ['mandoc', 'mandoc'], ['man-db', 'man'],
    // Name servers: one with zones, one that asks it.
    ['nsd', 'nsd'], ['unbound', 'unbound'],
  ] as const
  const absent: string[] = programs.filter(([, program]) => !inPath(program)).map(([name]) => name)
  // The newest Node is linked to a library that a minimal Debian doesn't have.
  if (!(await run('ldconfig', ['-p'])).stdout.includes('libatomic.so.1')) absent.push('libatomic1')
  // smtpd(8) with SASL ends at once where there is no mechanism.
  const { stdout } = await run('dpkg-query', ['-f', '${Status}', '-W', 'libsasl2-modules'])
  if (!stdout.endsWith(' installed')) absent.push('libsasl2-modules')
  if (absent.includes('postfix') || !(await tableTypes()).includes('mysql')) absent.push('postfix-mysql')
  return absent
}

/** Installs packages of Debian without starting or setting up the machine's own services. */
const install = async (packages: readonly string[]): Promise<void> => {
  console.log(`installing ${packages.join(' ')}`)
  process.env['DEBIAN_FRONTEND'] = 'noninteractive'
  // invoke-rc.d(8) asks this file before it starts a service; 101 forbids it.
  const policy = '/usr/sbin/policy-rc.d'
  const ours = !existsSync(policy)
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await must('apt-get', ['-q', 'update'])
    await must('debconf-set-selections', [], 'postfix postfix/main_mailer_type select No configuration\n')
    await must('apt-get', ['-q', '-y', '--no-install-recommends', 'install', ...packages])
  } finally {
    if (ours) rmSync(policy)
  }
}

const prepare = async (): Promise<void> => {
  const absent = await missing()
  if (absent.length > 0 && isRoot && inPath('apt-get')) await install(absent)
  const still = await missing()
  if (still.length > 0) fail(`the tests need these packages of Debian: ${still.join(' ')}`)
  // master(8) is started by root or not at all.
  if (!isRoot) fail('the tests start a Postfix of their own, which takes root: run npm test as root')
}

/** The compiled test files: those with a source, since tsc leaves behind what a removed source once became. */
const testFiles = (): readonly string[] => {
  const named = process.argv.slice(2)
  const all = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  const sources = named.length > 0 ? named : all.filter(file => file.endsWith('.test.ts')).sort().map(file => join('test', file))
  return sources.map(file => file.startsWith('dist/') ? file : join('dist', file.replace(/\.ts$/, '.js')))
}

type Counts = { readonly passed: number, readonly failed: number, readonly skipped: number }

/** Runs tap; prints a line for each file, and all that a file with failures said. */
const runTap = async (files: readonly string[]): Promise<{ counts: Counts | undefined, ok: boolean }> => {
  const tap = spawn(process.execPath, [join(root, 'node_modules/tap/dist/esm/run.mjs'), '--reporter=tap', ...files], {
    cwd: root, detached: true, stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(tap, 'close')
  if (tap.pid !== undefined) guardGroup(tap.pid)
  let block: string[] = []
  for await (const line of createInterface({ input: tap.stdout })) {
    block.push(line)
    const result = /^(ok|not ok) \d+ - \S+\.test\.js/.exec(line)
    if (result === null) continue
    console.log(result[1] === 'ok' ? line : block.join('\n'))
    block = []
  }
  await closed
  if (tap.pid !== undefined) forgetGroup(tap.pid)
  const summary = /^# \{ (total: .*) \}$/m.exec(block.join('\n'))?.[1]
  if (summary === undefined) return { counts: undefined, ok: false }
  const count = (name: string): number => Number(new RegExp(`\\b${name}: (\\d+)`).exec(summary)?.[1] ?? 0)
  const counts = { passed: count('pass'), failed: count('fail'), skipped: count('skip') + count('todo') }
  return { counts, ok: tap.exitCode === 0 && counts.failed === 0 && counts.passed > 0 }
}

/** The processes of this run: its folder is in their environment or arguments, or they work in it. */
const leftOver = (): readonly string[] => readdirSync('/proc').filter(name => {
  if (!/^\d+$/.test(name) || Number(name) === process.pid) return false
  try {
    // A zombie has ended; whoever adopted it hasn't looked yet.
    if (readFileSync(`/proc/${name}/stat`, 'latin1').includes(') Z ')) return false
    return [`${readlinkSync(`/proc/${name}/cwd`)}/`, ...['environ', 'cmdline'].map(file =>
      readFileSync(`/proc/${name}/${file}`, 'latin1'))].some(text => text.includes(folder))
  } catch {
    return false
  }
})

const describe = (pid: string): string => {
  try {
    return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`
  } catch {
    return pid
  }
}

/** Ends what is left of the run, and tells whether there was anything. */
const clean = async (): Promise<boolean> => {
  // The guards of the test files may still be at their work.
  for (let tries = 0; leftOver().length > 0 && tries < 100; tries += 1) await setTimeout(100)
  const left = leftOver()
  if (left.length > 0) console.error(`left running by the tests:\n${left.map(describe).join('\n')}`)
  for (const pid of left) process.kill(Number(pid), 'SIGKILL')
  return left.length === 0
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

await prepare()
// Beside the tests, which wait for servers now and then.
const linting = run(process.execPath, ['node_modules/eslint/bin/eslint.js', '--config', '.eslint.config.js', '.'], { cwd: root })
const whyNoMysql = await fetchMysql()
// The one server that Debian's stable release doesn't have: a mirror that is away is no fault of ours.
if (whyNoMysql !== null) {
  console.log(`MySQL can't be had, so its tests are skipped: ${whyNoMysql}`)
  process.env[whyNotVariable] = whyNoMysql
}
process.env['HOLDFAST_TEST_DIR'] = folder
const { counts, ok } = await runTap(testFiles())
delete process.env['HOLDFAST_TEST_DIR']
const lint = await linting
if (lint.code !== 0) console.error(`${lint.stdout}${lint.stderr}lint found faults`)
const isClean = await clean()
removeFolder(folder)
if (counts === undefined) console.error('tap ended without its counts')
else {
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped${whyNoMysql === null ? '' : ' (those on MySQL)'}` : ''
  console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`)
}
process.exit(ok && isClean && lint.code === 0 ? 0 : 1)
