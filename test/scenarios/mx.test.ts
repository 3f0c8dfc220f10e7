/**
 * `holdfast mx` with real name servers, an nsd behind an unbound: the domains that tables list, with and without the
 * daemon, while MySQL is there and while it is gone; what is printed, and the exit codes.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { freshFolder } from '../fixtures/guard.js'
import { mailConfig } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startNsd, startUnbound } from '../fixtures/nsd.js'
import type { NameServer } from '../fixtures/nsd.js'

const listed = (domain: string, ...mx: readonly string[]): readonly string[] => mx.map(record => `${domain} MX ${record}`)
const whole = ['10 mx1', '10 mx2', '90 mx9']
/** So many that they are folded. */
const lazy = [1, 2, 3, 4, 5, 6, 7].map(number => `lazy${number}`)

const records = [
  'mx1 A 192.0.2.1', 'mx2 AAAA 2001:db8::2', 'mx9 A 192.0.2.9', 'elsewhere A 192.0.2.80', 'old CNAME mx1',
  ...listed('right', ...whole), ...listed('xn--mller-kva', ...whole), ...listed('text', ...whole), 'own A 192.0.2.5',
  ...listed('null', '0 .'), ...listed('upside', '10 mx9', '20 mx1', '20 mx2'), ...listed('moved', ...whole, '5 elsewhere'),
  ...lazy.flatMap(name => listed(name, '10 mx1', '10 mx2')), ...listed('aliased', '10 old', ...whole),
  // Too many for a datagram.
  ...listed('large', ...Array.from({ length: 200 }, (_, number) => `${number} mx1`), '201 mx2', '900 mx9'),
  ...listed('white', '10 mx.white', '90 mx9'), 'mx.white A 192.0.2.1', 'mx.white AAAA 2001:db8::2',
]

const relay = ['right', 'müller', 'null', 'upside', 'moved', 'missing', ...lazy].map(name => `('${name}.example')`)
const sql = `
  CREATE TABLE relay (domain VARCHAR(190) PRIMARY KEY) CHARSET utf8mb4;
  INSERT INTO relay VALUES ${relay.join(', ')}, ('.right.example'), ('localhost'), ('192.0.2.1');
  CREATE TABLE vdomain (domain VARCHAR(190) PRIMARY KEY) CHARSET utf8mb4;
  INSERT INTO vdomain VALUES ('right.example'), ('own.example'), ('someone@right.example');
  CREATE TABLE alias (address VARCHAR(190) PRIMARY KEY, goto VARCHAR(190)) CHARSET utf8mb4;
  INSERT INTO alias VALUES ('not.a.domain.example', 'x@right.example');
`

const roles = { default: 'primary', 'mx1.example': 'primary', 'mx2.example': 'primary', 'mx9.example': 'fallback' }

const bed = async (t: Test) => {
  const mariadb = await during(t, startMariadb({ sql }))
  const nsd = await startNsd(records)
  const unbound = await startUnbound(nsd)
  t.teardown(() => Promise.all([nsd.kill(), unbound.kill()]))
  const config = (dir: string, more: Readonly<Record<string, unknown>> = {}): string => {
    writeFileSync(join(dir, 'domains'), 'text.example anything\n')
    return mailConfig(dir, mariadb, {
      role: roles, node: 'mx1.example', static_domains: ['aliased.example', 'mx1.example'], local_domains: ['mx1.example'],
      maps: {
        relay_domains: { search: 'domain', database: 'mail', query: "SELECT domain FROM relay WHERE domain='%s'" },
        virtual_domains: { search: 'exact', database: 'mail', query: "SELECT domain FROM vdomain WHERE domain='%s'" },
        text_domains: { search: 'exact', text: 'domains' },
        virtual_alias: { search: 'virtual', database: 'mail', query: "SELECT goto FROM alias WHERE address='%s'" },
      },
      ...more,
    })
  }
  return { mariadb, nsd, unbound, config }
}

const fileWith = (config: (dir: string) => string): string => {
  const dir = freshFolder()
  writeFileSync(join(dir, 'holdfast.yaml'), config(dir))
  return join(dir, 'holdfast.yaml')
}

const mx = (file: string, { address }: NameServer, ...args: readonly string[]) =>
  run(process.execPath, [mainFile, 'mx', '--config', file, '--resolver', address, ...args])

/** All of them, as text. */
const report = `The domain does not exist in DNS, so it gets no mail (1 domain)
  missing.example
A null MX says that the domain takes no mail, while a map says that it does (1 domain)
  null.example: MX 0 .
A mail exchanger is none of these nodes, so mail goes to somebody else (1 domain)
  moved.example: elsewhere.example: MX 5 elsewhere.example, 10 mx1.example, 10 mx2.example, 90 mx9.example
The fallback is not alone at the highest number, so it refuses mail that a primary would take (1 domain)
  upside.example: mx1.example, mx2.example: MX 10 mx9.example, 20 mx1.example, 20 mx2.example
The fallback is missing, so mail to a mistyped address may be retried for days (7 domains)
  lazy1.example: MX 10 mx1.example, 10 mx2.example
  lazy2.example: MX 10 mx1.example, 10 mx2.example
  lazy3.example: MX 10 mx1.example, 10 mx2.example
  lazy4.example: MX 10 mx1.example, 10 mx2.example
  lazy5.example: MX 10 mx1.example, 10 mx2.example
  and 2 more
There is no MX record, so mail goes to the domain's own address (1 domain)
  own.example
A mail exchanger is an alias (CNAME), which RFC 2181 forbids; some senders refuse it (1 domain)
  aliased.example: old.example: MX 10 mx1.example, 10 mx2.example, 10 old.example, 90 mx9.example
3 of 16 domains right, 13 to mend, 0 not known
`

t.test('the domains of the tables, of a text table and of main.cf are judged, each once', async t => {
  const { unbound, config } = await bed(t)
  const file = fileWith(config)
  t.same(await mx(file, unbound), { code: 1, stdout: report, stderr: '' })
  t.match(await mx(file, unbound, 'right.example', 'MÜLLER.example.', 'large.example', 'white.example'), {
    code: 0, stdout: '4 of 4 domains right, 0 to mend, 0 not known\n', stderr: '',
  })
  const { code, stdout } = await mx(file, unbound, '--json', 'right.example', 'lazy1.example')
  t.equal(code, 1)
  t.match(JSON.parse(stdout), {
    domains: [
      { domain: 'right.example', mx: [{ number: 10, host: 'mx1.example' }, {}, { number: 90, host: 'mx9.example' }], faults: [], unknown: '' },
      { domain: 'lazy1.example', faults: [{ kind: 'no-fallback', hosts: [] }] },
    ],
    right: 1, wrong: 1, unknown: 0, problems: [],
  })
  for (const address of ['dns.example', '127.0.0.1:0', '127.0.0.1:65536', '[127.0.0.1', '']) {
    const { code, stderr } = await mx(file, { ...unbound, address })
    t.equal(code, 64, address)
    t.match(stderr, `'${address}' is no IP address`)
  }
})

t.test('while MySQL is gone, the copies of the running daemon have the same domains', async t => {
  const { unbound, config, mariadb } = await bed(t)
  const holdfast = await during(t, startHoldfast(dir => config(dir, { admin: `unix:${dir}/admin` })), 'kill')
  for (const map of ['relay_domains', 'virtual_domains']) await holdfast.logged(new RegExp(`map ${map}: a copy of its table`))
  await mariadb.kill()
  t.same(await mx(join(holdfast.dir, 'holdfast.yaml'), unbound), { code: 1, stdout: report, stderr: '' })
})

t.test('tables that can\'t be listed are named, and nothing is called right of them', async t => {
  const { unbound, config, mariadb } = await bed(t)
  await mariadb.kill()
  const { code, stdout, stderr } = await mx(fileWith(config), unbound)
  t.equal(code, 1)
  t.match(stdout, '1 of 2 domains right, 1 to mend')
  t.match(stderr, /map relay_domains: its domains can't be listed: .*\n.*map virtual_domains: its domains can't be listed/)
})

t.test('of a zone that its name server does not have nothing is known, and nothing is called missing', async t => {
  const { unbound, config } = await bed(t)
  const { code, stdout } = await mx(fileWith(config), unbound, 'right.example', 'right.lost', 'missing.lost')
  t.equal(code, 75)
  t.match(stdout, /^DNS could not be asked \(2 domains\)\n  right\.lost: .*SERVFAIL.*\n  missing\.lost: /)
  t.match(stdout, '1 of 3 domains right, 0 to mend, 2 not known')
})

t.test('by a file for all nodes that names the fallback alone, each primary is right', async t => {
  const { unbound, config } = await bed(t)
  for (const node of ['mx1.example', 'mx9.example']) {
    const file = fileWith(dir => config(dir, { role: { 'default': 'primary', 'mx9.example': 'fallback' }, node }))
    const { code, stdout, stderr } = await mx(file, unbound, 'right.example', 'upside.example', 'lazy1.example')
    t.equal(code, 1)
    t.match(stdout, /The fallback is not alone .*\n {2}upside\.example: .*\nThe fallback is missing.*\n {2}lazy1\.example: /)
    t.match(stdout, '1 of 3 domains right, 2 to mend, 0 not known')
    t.match(stderr, 'every host but the fallback counts as one')
  }
})

t.test('on a terminal a line shows how far it is, and is gone at the end', async t => {
  const { unbound, config } = await bed(t)
  const line = [process.execPath, mainFile, 'mx', '--config', fileWith(config), '--resolver', unbound.address].join(' ')
  const { stdout } = await run('script', ['-qec', line, '/dev/null'])
  t.match(stdout, /\r\x1b\[K1 of 16 domains/)
  t.match(stdout, /\r\x1b\[K(\x1b\[\d+m)?The domain does not exist/)
})
