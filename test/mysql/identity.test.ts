import t from 'tap'
import type { Database } from '../../src/mysql/database.js'
import type { Choice } from '../../src/mysql/server.js'
import { startProxy } from '../fixtures/proxy.js'
import { inet, lookAlias, loginTo, noRows, queryOf, seen, serversFor, startBed, unix } from './bed.js'
import type { Test } from './bed.js'

const [left, right] = await Promise.all([startBed(t), startBed(t)])
await right.sql('DELETE FROM alias')

/** One address with both servers behind it, in turn. */
const balanced = async (t: Test): Promise<Database> => {
  const proxy = await startProxy({ path: left.socket })
  t.teardown(() => proxy.stop())
  proxy.lead({ path: left.socket }, { path: right.socket })
  return serversFor(t).servers.database([inet(proxy)], loginTo(left))
}

const serverOf = async (database: Database, choice?: Choice): Promise<string> => {
  const reply = await database.ask(lookAlias, ['nobody@example.com'], 5_000, choice)
  return reply.kind === 'rows' ? reply.server : reply.reason
}

const identityOf = (t: Test, { socket }: { readonly socket: string }): Promise<string> =>
  serverOf(serversFor(t).servers.database([unix({ socket })], loginTo(left)))

t.test('a server has the same identity by socket and by TCP, and not that of another server', async t => {
  const identity = await identityOf(t, left)
  t.match(identity, new RegExp(`^\\S+:${left.port}#1$`))
  t.equal(await serverOf(serversFor(t).servers.database([inet(left)], loginTo(left))), identity)
  t.not(await identityOf(t, right), identity)
})

t.test('with two servers behind one address, each reply names the server that gave it', async t => {
  const database = await balanced(t)
  const slow = async (): Promise<string> => {
    const reply = await database.ask(queryOf('SELECT SLEEP(0.1)'), [], 5_000)
    return reply.kind === 'rows' ? reply.server : reply.reason
  }
  const both = new Set(await Promise.all(Array.from({ length: 4 }, slow)))
  t.same(both, new Set([await identityOf(t, left), await identityOf(t, right)]))
})

t.test('a further question on a held connection goes to the server that gave the reply', async t => {
  const database = await balanced(t)
  // Each holds its connection until two are held: the second one is another server's.
  let held = 0
  let release = (): void => undefined
  const twoAreHeld = new Promise<void>(resolve => { release = resolve })
  const askTwice = async (): Promise<readonly unknown[]> => {
    const pair: unknown[] = []
    await database.ask(queryOf('SELECT COUNT(*) FROM alias'), [], 5_000, {
      onReply: async (reply, connection) => {
        if (++held === 2) release()
        await twoAreHeld
        for (let asked = 0; asked < 5; asked++) {
          const answer = await connection.again(queryOf('SELECT COUNT(*) FROM alias'), [])
          pair.push([seen(reply), seen(answer)])
        }
      },
    })
    return pair
  }
  const rows = (await Promise.all([askTwice(), askTwice(), askTwice(), askTwice()])).flat()
  t.equal(rows.length, 20)
  for (const pair of rows) t.ok(Array.isArray(pair) && JSON.stringify(pair[0]) === JSON.stringify(pair[1]), JSON.stringify(pair))
  t.equal(new Set(rows.map(pair => JSON.stringify(pair))).size, 2, 'both servers were asked')
})

t.test('Holdfast avoids a server while there is another one, and finds the only server that is wanted', async t => {
  const database = await balanced(t)
  const [empty, whole] = [await identityOf(t, right), await identityOf(t, left)]
  for (let asked = 0; asked < 6; asked++) t.equal(await serverOf(database, { avoid: server => server === empty }), whole)
  for (let asked = 0; asked < 6; asked++) t.equal(await serverOf(database, { avoid: server => server === whole }), empty)
  for (const only of [empty, whole, empty]) t.equal(await serverOf(database, { only }), only)
  t.equal(await serverOf(database, { only: 'nowhere:1#1' }), 'source-down')
  t.match(await serverOf(database, { avoid: () => true }), /#1$/, 'there is no other')
})

t.test('a further question on a held connection that is lost gets no answer, and the reply stays', async t => {
  const { servers } = serversFor(t)
  const database = servers.database([unix(left)], loginTo(left))
  let answer: unknown
  const reply = await database.ask(lookAlias, ['nobody@example.com'], 5_000, {
    onReply: async (_reply, held) => {
      servers.close()
      answer = await held.again(lookAlias, ['nobody@example.com'])
    },
  })
  t.match(answer, { kind: 'unavailable', reason: 'source-down' })
  t.same(seen(reply), noRows)
})
