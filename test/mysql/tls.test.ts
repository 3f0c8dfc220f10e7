import { copyFileSync, mkdirSync } from 'node:fs'
import t from 'tap'
import { writeCf } from '../fixtures/cf.js'
import { makeCertificates } from '../fixtures/certificates.js'
import { postmapQuery } from '../fixtures/postfix.js'
import { Connection } from '../../src/mysql/connection.js'
import { openConnection } from '../../src/mysql/session.js'
import type { Host } from '../../src/mysql/hosts.js'
import { readTls } from '../../src/mysql/tls.js'
import type { Tls } from '../../src/mysql/tls.js'
import { inet, known, startBed, queryOf, unix } from './bed.js'

const { file, authority, certificate, remove } = await makeCertificates()
t.teardown(remove)
await authority('stranger')
await certificate('named', 'DNS:localhost')
await certificate('addressed', 'IP:127.0.0.1')
await certificate('client', 'DNS:client')
mkdirSync(file('authorities'))
copyFileSync(file('ca.pem'), file('authorities/0a1b2c3d.0'))
copyFileSync(file('client.key'), file('authorities/README'))

const none: Tls = { certFile: null, keyFile: null, caFile: null, caPath: null, ciphers: null, verify: false }
const serverArgs = (name: string): readonly string[] =>
  [`--ssl-cert=${file(`${name}.pem`)}`, `--ssl-key=${file(`${name}.key`)}`, `--ssl-ca=${file('ca.pem')}`]
const named = await startBed(t, serverArgs('named'))
const addressed = await startBed(t, serverArgs('addressed'))
for (const server of [named, addressed]) {
  await server.sql(`CREATE USER private IDENTIFIED BY 'secret' REQUIRE SSL; CREATE USER certified IDENTIFIED BY 'secret' REQUIRE X509`)
}

/** The cipher in use, or why there is no connection. */
const cipher = async (host: Host, tls: Partial<Tls>, user = 'private'): Promise<string> => {
  const target = { host, user, password: 'secret', dbname: '', charset: 'utf8mb4', ssl: readTls({ ...none, ...tls }), limitMs: 0 }
  const connection = await openConnection(target, 10_000)
  if (!(connection instanceof Connection)) return connection.detail
  const result = await connection.ask(queryOf('SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = \'Ssl_cipher\''), [], 5_000)
  connection.end()
  return result.kind === 'rows' ? String(result.rows?.[0]?.[0]) : result.detail
}
const byAddress = (port: number): Host => ({ kind: 'inet', host: '127.0.0.1', port })
const byName = (port: number): Host => ({ kind: 'inet', host: 'localhost', port })

t.test('Holdfast accepts a certificate from the named authority', async t => {
  t.match(await cipher(inet(named), { caFile: file('ca.pem') }), /^TLS_/)
})

t.test('the authority may be in a folder, among other files', async t => {
  t.match(await cipher(inet(named), { caPath: file('authorities') }), /^TLS_/)
})

t.test('Holdfast refuses a certificate from another authority', async t => {
  t.match(await cipher(inet(named), { caFile: file('stranger.pem') }), /^TLS: .*certificate/)
})

t.test('with tls_verify_cert alone, the certificate must be from an authority that the machine trusts', async t => {
  t.match(await cipher(byName(named.port), { verify: true }), /^TLS: .*certificate/)
})

t.test('with tls_verify_cert, the name in the certificate must be that of the host', async t => {
  t.match(await cipher(byName(named.port), { caFile: file('ca.pem'), verify: true }), /^TLS_/)
  t.match(await cipher(byAddress(named.port), { caFile: file('ca.pem'), verify: true }), /^TLS: .*127\.0\.0\.1/)
  t.match(await cipher(byAddress(addressed.port), { caFile: file('ca.pem'), verify: true }), /^TLS_/)
  t.match(await cipher(byName(addressed.port), { caFile: file('ca.pem'), verify: true }), /^TLS: .*localhost/)
})

t.test('a common name, even an address, counts if the certificate has no DNS name, as in Postfix\' client', async t => {
  /**
   * For an address, and for the name `localhost`, which Postfix's client takes for the socket. A newer client library
   * asks for no name at 127.0.0.1, so it is another one of this host.
   */
  const address = '127.0.0.2'
  const cases = [
    ['cn-address', null, address, true, false],
    ['cn-name', null, 'localhost', false, true],
    ['cn-wildcard', null, '*', false, false],
    ['cn-beside-email', 'email:dba@example.com', 'localhost', false, true],
    ['cn-beside-dns', 'DNS:other.example', address, false, false],
    ['dns-address', `DNS:${address}`, 'db', true, false],
    ['ip-address', `IP:${address}`, 'db', true, false],
  ] as const
  for (const [name, alternative, commonName] of cases) await certificate(name, alternative, commonName)
  copyFileSync(file('named.pem'), file('current.pem'))
  copyFileSync(file('named.key'), file('current.key'))
  const server = await startBed(t, [...serverArgs('current'), '--bind-address=0.0.0.0'])
  await server.sql('CREATE USER private IDENTIFIED BY \'secret\' REQUIRE SSL; GRANT SELECT ON mail.* TO private')
  const cf = writeCf(file('.'), 'verified', {
    hosts: `inet:${address}:${server.port}`, user: 'private', password: 'secret', dbname: 'mail',
    tls_CAfile: file('ca.pem'), tls_verify_cert: 'yes', query: 'SELECT goto FROM alias WHERE address=\'%s\'',
  })
  for (const [name, , , isForAddress, isForName] of cases) {
    for (const kind of ['pem', 'key']) copyFileSync(file(`${name}.${kind}`), file(`current.${kind}`))
    await server.sql('FLUSH SSL')
    t.equal((await postmapQuery(`mysql:${cf}`, known)).kind, isForAddress ? 'found' : 'error', `${name}: Postfix's client`)
    for (const [host, isFor] of [[address, isForAddress], ['localhost', isForName]] as const) {
      const said = await cipher({ kind: 'inet', host, port: server.port }, { caFile: file('ca.pem'), verify: true })
      t.match(said, isFor ? /^TLS_/ : /^TLS: the server's certificate is not for /, `${name}: ${said}`)
    }
  }
})

t.test('with tls_verify_cert over a unix socket, only the authority counts, since there is no host name', async t => {
  t.match(await cipher(unix(addressed), { caFile: file('ca.pem'), verify: true }), /^TLS_/)
  t.match(await cipher(unix(addressed), { caFile: file('stranger.pem'), verify: true }), /^TLS: .*certificate/)
})

t.test('with tls_ciphers alone, the connection is encrypted, whatever the certificate is', async t => {
  t.match(await cipher(inet(named), { ciphers: 'ECDHE-RSA-AES256-GCM-SHA384:TLS_AES_256_GCM_SHA384' }), /^TLS_AES_256_GCM_SHA384$/)
})

t.test('a client certificate logs in where one is asked for', async t => {
  t.match(await cipher(inet(named), { caFile: file('ca.pem'), certFile: file('client.pem'), keyFile: file('client.key') }, 'certified'), /^TLS_/)
  t.match(await cipher(inet(named), { caFile: file('ca.pem') }, 'certified'), /^error 1045: Access denied/)
})

t.test('over TLS, too, Holdfast notices an ended connection, and stops reading a result that is too large', async t => {
  const lost: Connection[] = []
  const target = {
    host: inet(named), user: 'private', password: 'secret', dbname: '', charset: 'utf8mb4',
    ssl: readTls({ ...none, caFile: file('ca.pem') }), limitMs: 0,
  }
  const open = async (): Promise<Connection> => {
    const connection = await openConnection(target, 10_000)
    if (!(connection instanceof Connection)) throw new Error(connection.detail)
    connection.onLost = ended => lost.push(ended)
    return connection
  }
  const killed = await open()
  const id = await killed.ask(queryOf('SELECT CONNECTION_ID()'), [], 10_000)
  await named.sql(`KILL ${String(id.kind === 'rows' ? id.rows?.[0]?.[0] : id.detail)}`)
  t.match(await killed.ask(queryOf('SELECT 1'), [], 10_000), { kind: 'fault', blame: 'server', again: 'new' })
  const large = await open()
  t.match(await large.ask(queryOf('SELECT REPEAT(?, 5000000)'), ['a'], 10_000), { kind: 'fault', reason: 'bad-value' })
  t.same(lost, [killed, large])
  t.same(lost.map(({ isOpen }) => isOpen), [false, false])
})

t.test('Holdfast sends nothing in the clear to a server without TLS', async t => {
  const plain = await startBed(t, ['--skip-ssl'])
  t.equal(await cipher(inet(plain), { caFile: file('ca.pem') }), 'the server offers no TLS')
})

t.test('a file that doesn\'t exist, or is no certificate, is reported at once', async t => {
  t.throws(() => readTls({ ...none, caFile: file('nosuch.pem') }), { message: /nosuch\.pem/ })
  t.throws(() => readTls({ ...none, certFile: file('ca.key'), keyFile: file('ca.key') }))
})
