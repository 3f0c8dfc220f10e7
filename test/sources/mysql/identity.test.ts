import t from 'tap'
import { askIdentity } from '../../../src/sources/mysql/identity.js'
import { startMariadb } from '../../fixtures/mariadb.js'
import { noMysql, startMysql } from '../../fixtures/mysql.js'
import { inet, loginTo, serversFor } from './bed.js'

for (const { product, start, skip } of [{ product: 'MariaDB', start: startMariadb, skip: false as const }, { product: 'MySQL', start: startMysql, skip: noMysql }]) {
  t.test(`a ${product} is the same one for whoever asks, by whatever name, and after a restart; another one isn't`, { skip }, async t => {
    const [server, other] = await Promise.all([start({}), start({})])
    t.teardown(() => Promise.all([server.stop(), other.stop()]))
    const ask = async (at: typeof server, prepared = true) => askIdentity(serversFor(t).servers.database([inet(at)], loginTo(at, { prepared })))
    const said = await ask(server)
    t.match(said, { name: `127.0.0.1:${server.port}`, identity: /^[0-9a-f]{16}$/ })
    t.strictSame(await ask(server, false), said)
    await server.kill()
    t.type(await ask(server), 'string', 'of one that is gone nobody knows')
    await server.start()
    t.strictSame(await ask(server), said)
    const another = await ask(other)
    t.ok(typeof said !== 'string' && typeof another !== 'string' && said.identity !== another.identity)
  })
}
