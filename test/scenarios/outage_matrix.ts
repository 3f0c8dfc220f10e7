/**
 * By hand: `node dist/test/scenarios/outage_matrix.js [PLATFORM...]` prints how much mail to known recipients each
 * platform accepts in an outage, moved over with what adopt writes and its defaults; with Redis, and without Redis with
 * the snapshot. It takes some ten minutes; the tests beside it show a part.
 *
 * 1. Every Postfix and its Holdfast start. Whoever is accepted with MySQL counts as known.
 * 2. MariaDB dies. 60 s later, and again after a restart of Holdfast, mail goes to every known recipient to the end of
 *    DATA: from known senders, from senders and from a client that nobody has seen.
 * 3. MariaDB is back, and all is well. It dies again, half an hour goes by on Holdfast's clock, and the same is done.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startRedis } from '../fixtures/redis.js'
import { iredmail, ispconfig, known, refused, schema } from './adopt.js'
import type { Shape } from './adopt.js'
import { shapes } from './adopt_shapes.js'
import { moveOver } from './moved.js'

t.setTimeout(3_600_000)

const [user, stranger] = ['ann@v.example', 'friend@elsewhere.example']
/** For copies to be taken, and for what was learned to be written. */
const settleMs = 45_000

/** What would ask MySQL itself, since adopt leaves its table there and says so. */
const unmoved = { virtual_transport: 'discard', canonical_maps: null, header_checks: null }
const wanted = process.argv.slice(2)
const platforms = [ispconfig, iredmail, ...shapes].filter(({ name }) => wanted.length === 0 || wanted.includes(name))
  .map((shape): Shape => ({ ...shape, settings: { ...shape.settings, ...unmoved } }))

type Node = Awaited<ReturnType<typeof moveOver>> & { readonly name: string, readonly recipients: string[] }

let clients = 77

/** What a mail from each of these senders to each recipient comes to. */
const show = async (t: Test, { bed, recipients, name }: Node, when: string): Promise<void> => {
  const refusals = [
    ...await refused(bed, [user, stranger], undefined, recipients),
    ...await refused(bed, [`new${clients}@never.example`, 'rex@r.example'], undefined, recipients),
    ...await refused(bed, [user, stranger], `127.0.0.${clients++}`, recipients),
  ]
  t.strictSame(refusals, [], `${name}: ${when}`)
  const sent = 6 * recipients.length
  console.log([`CELL ${name}, ${when}: ${sent - refusals.length} of ${sent}`, ...refusals].join('\n  '))
}

const start = async (t: Test): Promise<{ readonly nodes: readonly Node[], readonly mariadb: Awaited<ReturnType<typeof startMariadb>> }> => {
  const mariadb = await during(t, startMariadb({ sql: schema }))
  const redis = await during(t, startRedis({ args: ['--appendonly', 'yes'] }))
  const nodes: Node[] = []
  for (const shape of platforms) {
    for (const store of ['Redis', 'snapshot']) {
      // Each node has its own data in the Redis.
      const more = store === 'Redis' ? `redis:\n  path: ${redis.socket}\n  key_prefix: "${shape.name}:"\n` : ''
      const node = await moveOver(t, shape, mariadb, more)
      const name = `${shape.name}, ${store}`
      const refusals = await refused(node.bed, [user, stranger])
      const recipients = known.filter(each => !refusals.some(text => text.includes(` ${each}: 5`)))
      t.strictSame(await refused(node.bed, [user, stranger], undefined, recipients), [], `${name}: with MySQL`)
      nodes.push({ ...node, name, recipients })
      console.log(`KNOWN ${name}: ${recipients.join(' ')}`)
    }
  }
  return { nodes, mariadb }
}

t.test('known recipients of each platform are accepted to the end of DATA in an outage', async t => {
  const { nodes, mariadb } = await start(t)
  for (const [when, waitMs] of [['60 s', 60_000], ['half an hour', 5_000]] as const) {
    await sleep(settleMs)
    await mariadb.kill()
    if (when === 'half an hour') for (const node of nodes) await node.wait()
    await sleep(waitMs)
    for (const node of nodes) await show(t, node, when)
    for (const node of nodes) await node.restart()
    for (const node of nodes) await show(t, node, `${when}, restarted`)
    await mariadb.start()
    for (const { bed, recipients } of nodes) {
      const isBack = async (): Promise<boolean> =>
        !(await refused(bed, [user, stranger], undefined, [...recipients, 'nobody@v.example'])).some(text => / 4\d\d /.test(text))
      while (!await isBack()) await sleep(1_000)
    }
  }
})
