/**
 * Keys that try to be SQL. Whatever a stranger writes into RCPT TO reaches
 * MariaDB as a bound value: the answer is absent, never rows, and the table
 * stands unharmed.
 *
 * 1. Each key is asked by its bytes, NUL and GBK-style lead bytes among them.
 * 2. The same with backslashes that don't escape (NO_BACKSLASH_ESCAPES), with
 *    ANSI_QUOTES, and with tables in GBK.
 * 3. A key with quotes and backslashes that does have a row is found.
 */
import t from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { openWire, socketmapRequest } from '../fixtures/wire.js'

const attacks: readonly (string | Buffer)[] = [
  "' OR '1'='1", "x' OR 1=1 -- ", "x' OR 1=1#@v.example", '" OR ""="', "\\' OR 1=1 -- ", "\\", "\\\\' OR 1=1 -- ", "'", "''", "'''",
  "x'; DROP TABLE alias; -- ", "x'/**/UNION/**/SELECT/**/goto/**/FROM/**/alias#", "') OR ('1'='1", '%', '_%@v.example', '%s', '%u%d',
  "x' UNION SELECT password FROM mysql.user WHERE user='root", '`', ';', '--', '/*', "*/ OR 1=1 /*", "a' || 'b", "x\u2019 OR 1=1",
  // Lead bytes of GBK and Shift-JIS before a quote or backslash: where a client
  // escapes in one character set and the server reads another, they swallow the escape.
  Buffer.from("\xbf' OR 1=1 -- ", 'latin1'), Buffer.from("\xbf\\' OR 1=1 -- ", 'latin1'), Buffer.from("\x95\\' OR 1=1 -- ", 'latin1'),
  Buffer.from("\xbf\x27\x20OR\x201=1@v.example", 'latin1'), Buffer.from("\u7e17' OR 1=1 -- "), Buffer.from("\u8a95\\' OR 1=1"),
  Buffer.from("\xc0\xa7 OR 1=1", 'latin1'),
  Buffer.from("info@v.example\0"), Buffer.from("info@v.example\0' OR 1=1 -- "), Buffer.from('\0'), Buffer.from("\0' OR 1=1 -- "),
  '\x1a', "\n' OR 1=1 -- ", '\r\n', '\t', "info@v.example' AND SLEEP(10) AND '1'='1", '\u{1f600}', 'x'.repeat(9000),
]

const sql = (charset: string): string => `
  CREATE TABLE alias (address VARCHAR(255), goto VARCHAR(255)) CHARACTER SET ${charset};
  INSERT INTO alias VALUES ('info@v.example', 'box@relay.example');
`

const no = /^NOTFOUND $/
const modes: readonly (readonly [name: string, args: readonly string[], charset: string, expected: RegExp])[] = [
  ['by default', [], 'utf8mb4', no],
  ['with NO_BACKSLASH_ESCAPES', ['--sql-mode=NO_BACKSLASH_ESCAPES'], 'utf8mb4', no],
  ['with ANSI_QUOTES', ['--sql-mode=ANSI_QUOTES'], 'utf8mb4', no],
  // MariaDB refuses to compare a character with a column that can't hold it (error 1267).
  ['with a table and a server in GBK', ['--character-set-server=gbk'], 'gbk', /^(NOTFOUND |TEMP .*)$/],
]

for (const [name, args, charset, expected] of modes) {
  t.test(`${name}, no key makes the table say what it doesn't`, async t => {
    const mariadb = await during(t, startMariadb({ args }))
    await mariadb.sql(sql(charset))
    const { socket, user, password, database } = mariadb
    const query = "SELECT goto FROM alias WHERE address='%s'"
    const holdfast = await during(t, startHoldfast(dir => JSON.stringify({
      listen: [{ socketmap: `unix:${dir}/s` }],
      health: 'off',
      recipient_delimiter: '+',
      databases: { mail: { hosts: `unix:${socket}`, user, password, dbname: database } },
      maps: {
        exact: { search: 'exact', database: 'mail', query },
        virtual: { search: 'virtual', database: 'mail', query },
        parts: { search: 'exact', database: 'mail', query: "SELECT goto FROM alias WHERE address=CONCAT('%u','@','%d')" },
      },
    })), 'kill')
    const wire = await during(t, openWire({ path: `${holdfast.dir}/s` }), 'close')
    const ask = async (map: string, key: string | Buffer): Promise<string> => {
      wire.send(socketmapRequest(map, key))
      return (await wire.netstring()).toString()
    }

    for (const map of ['exact', 'virtual', 'parts']) {
      for (const key of attacks) t.match(await ask(map, key), expected, `${map}: ${JSON.stringify(key.toString('latin1').slice(0, 60))}`)
      t.equal(await ask(map, 'info@v.example'), 'OK box@relay.example')
    }
    t.same(await mariadb.sql('SELECT COUNT(*) AS n FROM alias'), [{ n: 1 }])

    await mariadb.sql("SET sql_mode='NO_BACKSLASH_ESCAPES'; INSERT INTO alias VALUES ('o''b\\r\"en@v.example', 'one@relay.example')")
    t.equal(await ask('parts', 'o\'b\\r"en@v.example'), 'OK one@relay.example')
    t.match(await holdfast.stop(), { code: 0 })
  })
}
