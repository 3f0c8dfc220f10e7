import t from 'tap'
import { askIdentity } from '../../src/mysql/identity.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { inet, loginTo, serversFor, unix } from './bed.js'

t.test('a server is the same one for whoever asks, by whatever name, and after a restart; another one isn\'t', async t => {
  const [server, other] = await Promise.all([startMariadb(), startMariadb()])
  t.teardown(() => Promise.all([server.stop(), other.stop()]))
  const ask = async (host = inet(server), prepared = true) => askIdentity(serversFor(t).servers.database([host], loginTo(server, { prepared })))
  const said = await ask()
  if (typeof said === 'string') throw new Error(said)
  const { identity } = said
  t.match(said, { name: `127.0.0.1:${server.port}`, identity: /^[0-9a-f]{16}$/ })
  t.strictSame(await ask(unix(server), false), { name: `unix:${server.socket}`, identity })
  await server.kill()
  t.type(await ask(), 'string', 'of one that is gone nobody knows')
  await server.start()
  t.strictSame(await ask(), said)
  const another = await ask(inet(other))
  t.ok(typeof another !== 'string' && another.identity !== identity)
})
