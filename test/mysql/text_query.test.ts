import { createServer } from 'node:net'
import t from 'tap'
import { Connection } from '../../src/mysql/connection.js'
import { openConnection } from '../../src/mysql/session.js'
import { freshFolder } from '../fixtures/guard.js'
import { connectTo, known, knownAnswer, lookAlias, queryOf, seen, startBed, targetOf } from './bed.js'
import type { Test } from './bed.js'

const mariadb = await startBed(t)

t.test('values of every length come whole, and NULL is none of them', async t => {
  const connection = await connectTo(t, mariadb)
  const lengths = [0, 1, 250, 251, 252, 255, 256, 65_535, 65_536, 300_000]
  const sql = `SELECT ${lengths.map(length => `REPEAT('x', ${length})`).join(', NULL, ')}`
  const values = lengths.flatMap(length => ['x'.repeat(length), null]).slice(0, -1)
  t.same(seen(await connection.ask(queryOf(sql), [], 5_000)), { kind: 'rows', rows: [values] })
  const union = lengths.map(length => `SELECT REPEAT('x', ${length})`).join(' UNION ALL ')
  t.same(seen(await connection.ask(queryOf(union), [], 5_000)), { kind: 'rows', rows: lengths.map(length => ['x'.repeat(length)]) })
})

t.test('columns have their names', async t => {
  const connection = await connectTo(t, mariadb)
  const result = await connection.ask(queryOf('SELECT address, goto AS `ü`, 1 AS `` FROM alias LIMIT 0'), [], 5_000)
  t.same(result.kind === 'rows' ? result.columns.map(({ name }) => name) : result, ['address', 'ü', ''])
})

t.test('a statement may have written more rows, under larger numbers, than 24 bits hold', async t => {
  await mariadb.sql(`CREATE TABLE asked (id BIGINT AUTO_INCREMENT PRIMARY KEY, k VARCHAR(255)) AUTO_INCREMENT = 9007199254740993;
    CREATE PROCEDURE note(k VARCHAR(255)) INSERT INTO asked (k) VALUES (k);
    CREATE PROCEDURE look_and_note(k VARCHAR(255)) BEGIN SELECT goto FROM alias WHERE address = k; INSERT INTO asked (k) VALUES (k); END`)
  const connection = await connectTo(t, mariadb)
  for (let round = 0; round < 3; round++) {
    t.same(seen(await connection.ask(queryOf('CALL note(?)'), [known], 5_000)), { kind: 'rows', rows: null })
    t.same(seen(await connection.ask(queryOf('CALL look_and_note(?)'), [known], 5_000)), knownAnswer)
    t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
  }
})

type Payload = readonly number[]

/** The packets of a reply, numbered. */
const packets = (payloads: readonly Payload[], first = 1): Buffer => Buffer.concat(payloads.map((payload, index) =>
  Buffer.from([payload.length & 0xff, payload.length >> 8, 0, first + index, ...payload])))

const bytes = (text: string): Payload => [...Buffer.from(text)]
const zeros = (count: number): Payload => Array.from({ length: count }, () => 0)
/** A column's definition, of text. */
const column = (name: string): Payload =>
  [3, ...bytes('def'), 0, 0, 0, name.length, ...bytes(name), 0, 12, 45, 0, 4, 0, 0, 0, 253, 0, 0, 0, 0, 0]
const end: Payload = [0xfe, 0, 0, 2, 0]
const ok: Payload = [0, 0, 0, 2, 0, 0, 0]
const greeting: Payload = [
  10, ...bytes('8.4.0'), 0, 1, 0, 0, 0, ...bytes('saltsalt'), 0, 0x08, 0x82, 45, 2, 0, 0x08, 0, 21, ...zeros(10),
  ...bytes('saltsaltsalt'), 0, ...bytes('mysql_native_password'), 0,
]
const session: readonly Payload[] =
  [[4], ...['mode', 'host', 'port', 'id'].map(column), end, ['', 'db', '3306', '1'].flatMap(text => [text.length, ...bytes(text)]), end]

/** A connection to a server that lets anybody in and answers each question with these packets. */
const connectToScript = async (t: Test, reply: readonly Payload[]): Promise<Connection> => {
  const path = `${freshFolder()}/s`
  const server = createServer(socket => {
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    socket.write(packets([greeting], 0))
    socket.on('data', request => {
      const sql = request.toString('latin1', 5)
      if (request[3] === 1) socket.write(packets([ok], 2))
      else if (sql.startsWith('SET NAMES')) socket.write(packets([ok]))
      else socket.write(packets(sql.includes('@@') ? session : reply))
    })
  })
  await new Promise<void>(resolve => { server.listen(path, resolve) })
  t.teardown(() => server.close())
  const target = targetOf(mariadb, { host: { kind: 'unix', path } })
  const connection = await openConnection(target, 5_000)
  if (!(connection instanceof Connection)) throw new Error(connection.detail)
  t.teardown(() => connection.destroy())
  return connection
}

const resultSet = [[1], column('c'), end]

t.test('the script\'s own replies are read', async t => {
  const connection = await connectToScript(t, [...resultSet, [1, 0x78], [0xfb], end])
  t.same(seen(await connection.ask(lookAlias, [known], 5_000)), { kind: 'rows', rows: [['x'], [null]] })
  t.same(seen(await connection.ask(lookAlias, [known], 5_000)), { kind: 'rows', rows: [['x'], [null]] })
})

const strange = new Map<string, readonly Payload[]>([
  ['a row with less than it announces', [...resultSet, [9, 0x78], end]],
  ['a row with more columns than there are', [...resultSet, [1, 0x78, 1, 0x79], end]],
  ['a row without a column', [...resultSet, [], end]],
  ['a length that is cut', [...resultSet, [0xfc, 1]]],
  ['more columns than announced', [[1], column('a'), column('b'), end, end]],
  ['an answer without anything in it', [[]]],
  ['a number that is cut', [[0, 0xfe, 1]]],
  ['the wish for a local file', [[0xfb, 0x2f, 0x65]]],
])
for (const [name, reply] of strange) {
  t.test(`no answer comes of ${name}`, async t => {
    const connection = await connectToScript(t, reply)
    t.match(await connection.ask(lookAlias, [known], 1_000), { kind: 'fault', blame: 'server', broken: true })
    t.notOk(connection.isOpen)
  })
}

t.test('a packet that nobody waits for ends the connection', async t => {
  const connection = await connectToScript(t, [...resultSet, [1, 0x78], end, [1, 0x78]])
  t.same(seen(await connection.ask(lookAlias, [known], 1_000)), { kind: 'rows', rows: [['x']] })
  t.match(await connection.ask(lookAlias, [known], 1_000), { kind: 'fault', blame: 'server' })
})
