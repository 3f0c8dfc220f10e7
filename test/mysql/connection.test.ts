import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { Connection } from '../../src/mysql/connection.js'
import { openConnection } from '../../src/mysql/session.js'
import { during } from '../fixtures/during.js'
import { startProxy } from '../fixtures/proxy.js'
import { connectTo, inet, known, knownAnswer, lookAlias, noRows, seen, startBed, queryOf, targetOf, unix } from './bed.js'

const mariadb = await startBed(t)


t.test('a key that is there, and one that is not', async t => {
  const connection = await connectTo(t, mariadb)
  t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
  t.same(seen(await connection.ask(lookAlias, ['nobody@example.com'], 5_000)), noRows)
})

t.test('a log-in to a server that hangs ends in its time, however much garbage is collected meanwhile', async t => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const proxy = await during(t, startProxy({ path: mariadb.socket }))
  proxy.stall()
  const stop = new AbortController()
  const opening = openConnection(targetOf(mariadb, { host: inet(proxy) }), 1_000, { signal: stop.signal })
  await proxy.untilAccepted(1)
  const collecting = setInterval(() => collectGarbage(), 20)
  t.teardown(() => clearInterval(collecting))
  t.match(await opening, { kind: 'fault', reason: 'timeout', blame: 'server' })
})

t.test('keys made to break out of the query find no row', async t => {
  // The default collation of newer servers ignores NUL, so it finds a row by a key with one more.
  await mariadb.sql('ALTER TABLE alias MODIFY address VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin')
  const keys = [
    '\' OR \'1\'=\'1', '\\\' OR 1=1 -- ', '\\', '\'', '"', '" OR ""="', '\0', 'info@example.com\0', '\'\0\' OR 1=1 -- ', '`', '%', '_',
    '\u00bf\' OR 1=1 -- ', '\u7e17\' OR 1=1 #', '\ubf5c\' OR 1=1 #', '\'; DROP TABLE alias; -- ', '/*', '?', '0x00', ') OR (1=1', '\r\n', '\x1a',
  ]
  for (const sqlMode of ['', 'NO_BACKSLASH_ESCAPES', 'ANSI_QUOTES', 'PIPES_AS_CONCAT,IGNORE_SPACE']) {
    for (const charset of ['utf8mb4', 'latin1', 'gbk', 'big5', 'sjis']) {
      await mariadb.sql(`SET GLOBAL sql_mode = '${sqlMode}'`)
      const connection = await connectTo(t, mariadb, { charset })
      for (const key of keys) {
        const result = await connection.ask(lookAlias, [key], 5_000)
        const name = JSON.stringify([sqlMode, charset, key])
        // In another character set the key's bytes may be no text at all, which is an error.
        if (charset === 'utf8mb4' || result.kind === 'rows') t.same(seen(result), noRows, name)
        else t.match(result, { blame: 'query', broken: false }, name)
      }
      t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
      connection.end()
    }
  }
})

t.test('a key comes back byte for byte', async t => {
  const connection = await connectTo(t, mariadb)
  for (const key of ['', 'a%d%s@example.com', 'back\\slash', 'o\'brien@example.com', 'straße@example.com', '😀', 'a\0b', ' v ', 'x'.repeat(9_900)]) {
    const bytes = Buffer.from(key, 'utf8').toString('latin1')
    t.same(seen(await connection.ask(queryOf('SELECT ?'), [key], 5_000)), { kind: 'rows', rows: [[bytes]] })
  }
})

t.test('a parameter has the collation and the weight of a quoted literal', async t => {
  const connection = await connectTo(t, mariadb)
  const literal = await connection.ask(queryOf('SELECT COLLATION(\'a\'), COERCIBILITY(\'a\')'), [], 5_000)
  t.same(seen(await connection.ask(queryOf('SELECT COLLATION(?), COERCIBILITY(?)'), ['a', 'a'], 5_000)), seen(literal))
})

t.test('a procedure\'s rows, none, and again a plain query on the same connection', async t => {
  const connection = await connectTo(t, mariadb)
  const look = queryOf('CALL look(?)')
  for (let round = 0; round < 20; round++) {
    t.same(seen(await connection.ask(look, [known], 5_000)), knownAnswer)
    t.same(seen(await connection.ask(look, ['nobody'], 5_000)), noRows)
    t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
  }
})

t.test('two result sets are an error, and the connection goes on', async t => {
  const connection = await connectTo(t, mariadb)
  t.match(await connection.ask(queryOf('CALL look_twice(?)'), [known], 5_000), { kind: 'fault', blame: 'query', detail: 'multiple result sets' })
  t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
})

t.test('no result set is told from an empty one', async t => {
  const connection = await connectTo(t, mariadb)
  t.same(seen(await connection.ask(queryOf('CALL no_result(?)'), [known], 5_000)), { kind: 'rows', rows: null })
  t.same(seen(await connection.ask(queryOf('DO ?'), [known], 5_000)), { kind: 'rows', rows: null })
})

t.test('two statements in one are refused and the second never runs', async t => {
  const connection = await connectTo(t, mariadb)
  t.match(await connection.ask(queryOf('SELECT ?; SELECT 2'), ['a'], 5_000), { kind: 'fault', blame: 'query', detail: 'error 1064 ER_PARSE_ERROR' })
})

t.test('a result of more than a mebibyte is not read to its end', async t => {
  const connection = await connectTo(t, mariadb)
  const wide = queryOf('SELECT REPEAT(?, 900000)')
  t.match(await connection.ask(wide, ['a'], 5_000), { kind: 'rows' })
  t.match(await connection.ask(wide, ['a'], 5_000), { kind: 'rows' }, 'the bound is each result\'s own')
  t.match(await connection.ask(queryOf('SELECT REPEAT(?, 5000000)'), ['a'], 5_000), { kind: 'fault', blame: 'query', reason: 'bad-value' })
  t.notOk(connection.isOpen)
  const other = await connectTo(t, mariadb)
  const many = queryOf('SELECT seq, ? FROM mail.seq_1_to_10000000')
  t.match(await other.ask(many, ['a'], 5_000), { kind: 'fault', blame: 'query', reason: 'bad-value' })
  t.notOk(other.isOpen)
})

t.test('wherever the reply is cut, there are all rows or an error', async t => {
  const proxy = await during(t, startProxy({ path: mariadb.socket }))
  let whole = 0
  for (let bytes = 0; bytes < 300; bytes += 7) {
    await proxy.pass()
    const connection = await connectTo(t, mariadb, { host: inet(proxy) })
    proxy.cutAfter(bytes)
    const result = await connection.ask(lookAlias, [known], 5_000)
    if (result.kind === 'rows') {
      t.same(seen(result), knownAnswer)
      whole++
    } else t.match(result, { blame: 'server', reason: 'source-down' })
    connection.destroy()
  }
  t.ok(whole > 0, 'the last cuts come after the reply')
})

t.test('non-ASCII keys are sent as UTF-8 whatever the character set, like Postfix\'s client', async t => {
  await mariadb.sql('CREATE TABLE l1 (k VARCHAR(40) CHARACTER SET latin1 PRIMARY KEY); INSERT INTO l1 VALUES (\'café\')')
  const asLatin1 = await connectTo(t, mariadb, { charset: 'latin1' })
  const asUtf8 = await connectTo(t, mariadb)
  const sql = queryOf('SELECT HEX(?)')
  t.same(seen(await asLatin1.ask(sql, ['é'], 5_000)), { kind: 'rows', rows: [['C3A9']] })
  t.same(seen(await asUtf8.ask(queryOf('SELECT k FROM l1 WHERE k = ?'), ['café'], 5_000)), { kind: 'rows', rows: [['caf\xc3\xa9']] })
})

t.test('a key that the column\'s character set doesn\'t have is an error of this query', async t => {
  const connection = await connectTo(t, mariadb)
  await mariadb.sql('CREATE TABLE l2 (k VARCHAR(40) CHARACTER SET latin1 PRIMARY KEY)')
  const result = await connection.ask(queryOf('SELECT k FROM l2 WHERE k = ?'), ['😀@example.com'], 5_000)
  t.match(result, { kind: 'fault', blame: 'query', broken: false })
  t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
})

t.test('a server with autocommit off: a row added later is seen', async t => {
  await mariadb.sql('SET GLOBAL autocommit = 0')
  const connection = await connectTo(t, mariadb)
  await mariadb.sql('SET GLOBAL autocommit = 1')
  t.same(seen(await connection.ask(lookAlias, ['late@example.com'], 5_000)), noRows)
  await mariadb.sql('INSERT INTO alias VALUES (\'late@example.com\', \'box@example.net\')')
  t.same(seen(await connection.ask(lookAlias, ['late@example.com'], 5_000)), knownAnswer)
})

t.test('a session has the limit of a statement that was asked for, or none', async t => {
  await mariadb.sql('SET GLOBAL max_statement_time = 7')
  for (const [statementMs, seconds] of [[1_500, '1.500000'], [0, '0.000000']] as const) {
    const connection = await connectTo(t, mariadb, { limitMs: statementMs })
    t.same(seen(await connection.ask(queryOf('SELECT @@max_statement_time'), [], 5_000)), { kind: 'rows', rows: [[seconds]] })
  }
  await mariadb.sql('SET GLOBAL max_statement_time = 0')
})

t.test('a statement that the server ends for its time is a time-out, and the connection goes on', async t => {
  const connection = await connectTo(t, mariadb, { limitMs: 50 })
  const slow = await connection.ask(queryOf('SELECT SLEEP(600)'), [], 600_000)
  t.match(slow, { kind: 'fault', blame: 'query', reason: 'timeout', detail: 'error 1969 ER_STATEMENT_TIMEOUT' })
  t.same(seen(await connection.ask(lookAlias, [known], 5_000)), knownAnswer)
})

t.test('a table altered between two questions: the statement goes on', async t => {
  await mariadb.sql('CREATE TABLE changing (k INT, v INT); INSERT INTO changing VALUES (1, 5)')
  const connection = await connectTo(t, mariadb)
  const sql = queryOf('SELECT * FROM changing WHERE k = ?')
  t.same(seen(await connection.ask(sql, ['1'], 5_000)), { kind: 'rows', rows: [['1', '5']] })
  await mariadb.sql('ALTER TABLE changing MODIFY v VARCHAR(10), ADD w DECIMAL(4,1) DEFAULT 2')
  t.same(seen(await connection.ask(sql, ['1'], 5_000)), { kind: 'rows', rows: [['1', '5', '2.0']] })
})

const failures = {
  'a wrong password': [{ password: 'wrong' }, /^error 1045: Access denied/],
  'an unknown database': [{ dbname: 'nosuch' }, /^error 1044: Access denied .* 'nosuch'/],
  'an unknown character set': [{ charset: 'nosuch' }, /^error 1115: Unknown character set/],
  'a socket that isn\'t there': [{ host: unix({ socket: '/nonexistent/s' }) }, /^no such file or directory$/],
  'a port where nobody listens': [{ host: inet({ port: 1 }) }, /^connection refused$/],
  'a name that nobody has': [{ host: { kind: 'inet', host: 'nobody.invalid', port: 3306 } }, /^(unknown host name|the name server does not answer)$/],
} as const
for (const [name, [changed, detail]] of Object.entries(failures)) {
  t.test(`${name}: no connection, and the reason is reported without the password`, async t => {
    const target = targetOf(mariadb, changed)
    const fault = await openConnection(target, 5_000)
    if (fault instanceof Connection) throw new Error('connected')
    const reason = /^source-(?:down|refused)$/
    t.match(fault, { blame: 'server', reason, detail })
    t.notMatch(fault.detail, target.password)
  })
}

t.test('a server that accepts and is silent: no connection, in time', async t => {
  const proxy = await during(t, startProxy({ path: mariadb.socket }))
  proxy.stall()
  const target = targetOf(mariadb, { host: inet(proxy) })
  t.match(await openConnection(target, 50), { blame: 'server', reason: 'timeout', detail: 'no connection in time' })
})

t.test('a server too slow to log in: no connection, in time', async t => {
  const proxy = await during(t, startProxy({ path: mariadb.socket }))
  const target = targetOf(mariadb, { host: inet(proxy) })
  proxy.slow(60)
  t.match(await openConnection(target, 150), { blame: 'server', reason: 'timeout' })
})

t.test('an ed25519 account: the plug-in is named and the process goes on', async t => {
  await mariadb.sql(`
    INSTALL SONAME 'auth_ed25519';
    CREATE USER modern IDENTIFIED VIA ed25519 USING PASSWORD('secret');
    GRANT SELECT ON mail.* TO modern;
  `)
  const target = targetOf(mariadb, { user: 'modern', password: 'secret' })
  t.match(await openConnection(target, 5_000), { blame: 'server', detail: /plug-in client_ed25519, which is not supported/ })
})

t.test('an account that needs TLS: the refusal says what to set', async t => {
  await mariadb.sql('CREATE USER private IDENTIFIED BY \'secret\' REQUIRE SSL')
  const target = targetOf(mariadb, { host: inet(mariadb), user: 'private', password: 'secret' })
  t.match(await openConnection(target, 5_000), { detail: /if the account needs TLS, set tls_CAfile$/ })
})
