/**
 * One Postfix with each parameter that decides over a mail and can have a table, all of them in MySQL, with the
 * configuration that adopt writes and its defaults; with Redis, and without.
 *
 * 1. It is moved over to Holdfast, and known recipients get mail from a user of ours and from a stranger.
 * 2. MariaDB dies, and half an hour goes by.
 * 3. Every known recipient is still accepted to the end of DATA: from a user, from one who never sent before, and from
 *    a client never seen; then again when Holdfast was restarted.
 *
 * Bugs: with mydestination in MySQL, cleanup(8) asks it for the domain of each address that it looks up, such as the
 * sender in canonical_maps. There an absence would refuse mail, so mail from domains of others, and to an alias that
 * leads to such a domain, is deferred after DATA.
 */
import t from 'tap'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startRedis } from '../fixtures/redis.js'
import { every, known, refused, schema } from './adopt.js'
import { moveOver } from './moved.js'

/** Those whose mail stays within our domains. */
const ours = known.filter(recipient => recipient !== 'away@v.example')
t.setTimeout(200_000)

const [user, newUser, stranger] = ['ann@v.example', 'rex@r.example', 'friend@elsewhere.example']

t.test('half an hour into an outage mail for known recipients is accepted, whatever main.cf has in MySQL', async t => {
  const mariadb = await during(t, startMariadb({ sql: schema }))
  const redis = await during(t, startRedis({ args: ['--appendonly', 'yes'] }))
  const nodes = new Map([
    ['with Redis', await moveOver(t, every, mariadb, `redis:\n  path: ${redis.socket}\n`)],
    ['without Redis', await moveOver(t, every, mariadb)],
  ])
  for (const [title, { bed, copies }] of nodes) {
    t.strictSame(await refused(bed, [user, stranger]), [], `${title}: while MySQL is there`)
    await copies()
  }
  await mariadb.kill()
  for (const when of ['half an hour later', 'after a restart']) {
    for (const [title, { bed, wait, restart }] of nodes) {
      if (when === 'after a restart') await restart()
      else await wait()
      const [here, other] = ['127.0.0.1', '127.0.0.77']
      t.strictSame(await refused(bed, [user], here, ours), [], `${title}, ${when}: from a known sender`)
      t.strictSame(await refused(bed, [newUser], here, ours), [], `${title}, ${when}: from a sender never seen`)
      t.strictSame(await refused(bed, [user], other, ours), [], `${title}, ${when}: from a client never seen`)
    }
  }
})
