/**
 * One Postfix with each parameter that decides over a mail and can have a table, all of them in MySQL, with the
 * configuration that adopt writes and its defaults; with Redis, and without.
 *
 * 1. It is moved over to Holdfast, and known recipients get mail from a user of ours and from a stranger.
 * 2. MariaDB dies, and half an hour goes by.
 * 3. Every known recipient is still accepted to the end of DATA: from a user, from one who never sent before, and from
 *    a client never seen; then again when Holdfast was restarted.
 *
 * Bugs: with check_sender_access in MySQL, Postfix looks the domain of each sender up in the lists of our domains, where
 * an absence would refuse mail: mail from domains of others is deferred. With mydestination in MySQL, so is mail to an
 * alias that leads to a domain of others.
 */
import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type * as Tap from 'tap'
import { startChild } from '../fixtures/child.js'
import type { Child } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { settle } from '../fixtures/postfix.js'
import { startRedis } from '../fixtures/redis.js'
import { every, known, refused, schema, startBed } from './adopt.js'
import type { Bed } from './adopt.js'

const halfAnHour = 1_800_000
const shiftClock = new URL('../fixtures/shift_clock.js', import.meta.url).pathname

/** A Postfix that is moved over, with its daemon, whose clock can be moved. */
const moved = async (t: Tap.Test, mariadb: Mariadb, more: string) => {
  const bed: Bed = await startBed(t, every, mariadb)
  const config = join(bed.folder, 'holdfast.yaml')
  const planned = await bed.adopt('--output', config)
  t.equal(planned.code, 0, planned.stderr)
  appendFileSync(config, `health: "off"\n${more}`)
  mkdirSync(join(bed.postfix.queueDir, 'holdfast'))
  const launch = async (shiftMs: number): Promise<Child> => {
    // As the service does: for the snapshot and the copies.
    const env = { ...process.env, STATE_DIRECTORY: join(bed.folder, 'state'), SHIFT_MS: String(shiftMs) }
    const child = await startChild(process.execPath, ['--import', shiftClock, mainFile, 'serve', config], { env })
    await child.printed(/\bready: \d+ map/)
    return child
  }
  let daemon = await launch(0)
  t.teardown(() => daemon.kill())
  const applied = await bed.adopt('--apply')
  t.equal(applied.code, 0, applied.stderr)
  for (const name of ['main.cf', 'master.cf']) settle(join(bed.postfix.configDir, name))
  await bed.postfix.reload()
  return {
    bed,
    copies: async (): Promise<void> => {
      const maps = /ready: (\d+) maps?/.exec(daemon.output())?.[1]
      for (let from = 0, count = 0; count < Number(maps); count++) {
        const { index } = await daemon.printed(/a copy of its table \(\d+ rows\) is at hand/, from)
        from = index + 1
      }
    },
    wait: (): void => daemon.signal('SIGUSR2'),
    restart: async (): Promise<void> => {
      daemon.signal('SIGTERM')
      await daemon.exited
      daemon = await launch(halfAnHour)
    },
  }
}

/** Those whose mail stays within our domains. */
const ours = known.filter(recipient => recipient !== 'away@v.example')
t.setTimeout(200_000)

const [user, newUser, stranger] = ['ann@v.example', 'rex@r.example', 'friend@elsewhere.example']

t.test('known recipients are accepted to the end of DATA half an hour into an outage, whatever is in MySQL', async t => {
  const mariadb = await during(t, startMariadb({ sql: schema }))
  const redis = await during(t, startRedis({ args: ['--appendonly', 'yes'] }))
  const nodes = new Map([
    ['with Redis', await moved(t, mariadb, `redis:\n  path: ${redis.socket}\n`)],
    ['without Redis', await moved(t, mariadb, '')],
  ])
  for (const [title, { bed, copies }] of nodes) {
    t.strictSame(await refused(bed, [user, stranger]), [], `${title}: while MySQL is there`)
    await copies()
  }
  await mariadb.kill()
  for (const when of ['half an hour later', 'after a restart']) {
    for (const [title, { bed, wait, restart }] of nodes) {
      if (when === 'after a restart') await restart()
      else wait()
      const [here, other] = ['127.0.0.1', '127.0.0.77']
      t.strictSame(await refused(bed, [user], here, ours), [], `${title}, ${when}: from a known sender`)
      t.strictSame(await refused(bed, [newUser], here, ours), [], `${title}, ${when}: from a sender never seen`)
      t.strictSame(await refused(bed, [user], other, ours), [], `${title}, ${when}: from a client never seen`)
    }
  }
})
