/**
 * Real platforms in an outage, with the configuration that adopt writes and its
 * defaults.
 *
 * 1. A Postfix for each platform is moved over to Holdfast; known recipients get
 *    mail from a stranger and from a user of ours.
 * 2. MariaDB dies, and every absence grows older than absent_for (35 s).
 * 3. Every known recipient is still accepted to the end of DATA: from known
 *    senders, from senders and from clients that nobody has seen before.
 *
 * Bugs: where check_sender_access is in MySQL (ispconfig), Postfix looks up the
 * domain of each sender in the lists of our domains, and an absence there would
 * refuse mail: mail from strangers is deferred. So there only our users send.
 */
import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type * as Tap from 'tap'
import { startChild } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { settle } from '../fixtures/postfix.js'
import { ispconfig, iredmail, postfixadmin, refused, schema, startBed } from './adopt.js'
import type { Bed, Shape } from './adopt.js'

const [stranger, user] = ['friend@elsewhere.example', 'ann@v.example']

/** Moves a Postfix over to a Holdfast of its own, with what adopt writes. */
const move = async (t: Tap.Test, bed: Bed): Promise<void> => {
  const config = join(bed.folder, 'holdfast.yaml')
  const planned = await bed.adopt('--output', config)
  t.equal(planned.code, 0, planned.stderr)
  // Several daemons on this machine.
  appendFileSync(config, 'health: "off"\n')
  mkdirSync(join(bed.postfix.queueDir, 'holdfast'))
  const daemon = await during(t, startChild(process.execPath, [mainFile, 'serve', config]), 'kill')
  await daemon.printed(/\bready\b/)
  const applied = await bed.adopt('--apply')
  t.equal(applied.code, 0, applied.stderr)
  for (const name of ['main.cf', 'master.cf']) settle(join(bed.postfix.configDir, name))
  await bed.postfix.reload()
}

// A virtual(8) would ask MySQL itself.
const withoutVirtual: Shape = { ...postfixadmin, settings: { ...postfixadmin.settings, virtual_transport: 'discard' } }

const platforms: readonly { readonly shape: Shape, readonly senders: readonly string[], readonly newSenders: readonly string[] }[] = [
  { shape: ispconfig, senders: [user], newSenders: ['rex@r.example'] },
  { shape: iredmail, senders: [user, stranger], newSenders: ['new@never.example', 'rex@r.example'] },
  { shape: withoutVirtual, senders: [user, stranger], newSenders: ['new@never.example', 'rex@r.example'] },
]

t.test('known recipients of each platform are accepted to the end of DATA after 35 s without MySQL', async t => {
  const mariadb = await during(t, startMariadb({ sql: schema }))
  const moved = await Promise.all(platforms.map(async platform => {
    const bed = await startBed(t, platform.shape, mariadb)
    await move(t, bed)
    return { ...platform, bed }
  }))
  for (const { shape, bed, senders } of moved) t.strictSame(await refused(bed, senders), [], `${shape.name} with MySQL`)
  // For the copies of the tables.
  await sleep(5_000)
  await mariadb.kill()
  await sleep(35_000)
  await Promise.all(moved.map(async ({ shape: { name }, bed, senders, newSenders }) => {
    t.strictSame(await refused(bed, senders), [], `${name}: from known senders`)
    t.strictSame(await refused(bed, newSenders), [], `${name}: from senders never seen`)
    t.strictSame(await refused(bed, senders, '127.0.0.77'), [], `${name}: from a client never seen`)
  }))
})
