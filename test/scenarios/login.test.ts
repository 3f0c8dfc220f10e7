/**
 * A server that doesn't let the daemon in: `holdfast check` says which file, why
 * and what to do; lookups are temporary errors, never absent; once the cause is
 * mended, they are answered again, without a restart.
 */
import { join } from 'node:path'
import t from 'tap'
import { accountOf, writeCf } from '../fixtures/cf.js'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { noMysql, startMysql } from '../fixtures/mysql.js'
import { socketmapAsk } from '../fixtures/wire.js'

const row = 'CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255)); INSERT INTO alias VALUES (\'info@example.com\', \'box@example.net\');'

const shutOut = {
  'C82 MariaDB, a wrong password': {
    start: startMariadb, skip: false,
    shut: 'ALTER USER holdfast IDENTIFIED BY \'another\'', mend: 'ALTER USER holdfast IDENTIFIED BY \'p#a%s $x\'',
    why: /error 1045: Access denied for user 'holdfast'@'localhost' \(using password: YES\); check user and password/,
  },
  'C95 MariaDB, an account with ed25519': {
    start: startMariadb, skip: false,
    shut: 'INSTALL SONAME \'auth_ed25519\'; ALTER USER holdfast IDENTIFIED VIA ed25519 USING PASSWORD(\'p#a%s $x\')',
    mend: 'ALTER USER holdfast IDENTIFIED VIA mysql_native_password USING PASSWORD(\'p#a%s $x\')',
    why: /the account needs the authentication plug-in client_ed25519, which is not supported; give it, .*mysql_native_password or caching_sha2_password/,
  },
  'C82 MySQL, a wrong password': {
    start: startMysql, skip: noMysql,
    shut: 'ALTER USER holdfast IDENTIFIED BY \'another\'', mend: 'ALTER USER holdfast IDENTIFIED BY \'p#a%s $x\'',
    why: /error 1045: Access denied for user 'holdfast'@'localhost' \(using password: YES\); check user and password/,
  },
} as const

for (const [name, { start, skip, shut, mend, why }] of Object.entries(shutOut)) {
  t.test(`${name}: check names file and remedy; lookups wait, and are answered after the repair`, { skip }, async t => {
    const server = await during(t, start({ sql: row + shut }))
    let file = ''
    const holdfast = await during(t, startHoldfast(dir => {
      file = writeCf(dir, 'alias', { ...accountOf(server), query: 'SELECT goto FROM alias WHERE address=\'%s\'' })
      return `listen:\n  - socketmap: unix:${dir}/s\nhealth: "off"\nmaps:\n  alias: { search: exact, cf: ${file} }\n`
    }), 'kill')
    const ask = (key: string): Promise<string> => socketmapAsk(join(holdfast.dir, 's'), 'alias', key)

    const { code, stdout, stderr } = await run(process.execPath, [mainFile, 'check', join(holdfast.dir, 'holdfast.yaml')])
    t.equal(code, 75)
    t.match(stdout, `error: ${file}: map alias: source-`)
    t.match(stdout, `: holdfast@unix:${server.socket}/mail: `)
    t.match(stdout, why)

    for (const key of ['info@example.com', 'nobody@example.com']) t.match(await ask(key), /^TEMP (source-refused|source-down|breaker-open): /)
    t.match(await holdfast.logged(/mysql .*: fails: .*/), [why], 'the log says it once')
    t.match(await ask('nobody@example.com'), /^TEMP /)
    for (const text of [stdout, stderr, holdfast.log()]) t.notMatch(text, server.password)

    await server.sql(mend)
    await holdfast.logged(/mysql .*: answers again/)
    t.equal(await ask('info@example.com'), 'OK box@example.net')
    t.equal(await ask('nobody@example.com'), 'NOTFOUND ')
  })
}
