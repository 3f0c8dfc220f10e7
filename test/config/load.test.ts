import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { loadConfig, problemsOf } from '../../src/config/load.js'
import type { Config } from '../../src/config/config.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { withRemedies } from '../fixtures/remedy.js'

const small = `listen:
  - socketmap: unix:/run/holdfast/s
maps:
  alias: {search: virtual, text: aliases}
`

/** The same, with a socket that only one group may use. */
const closed = small.replace('unix:/run/holdfast/s', 'unix:/run/holdfast/s\n    group: root')

/** Loads `text` as a file in a folder with `files`. */
const load = (t: Test, text: string, { environment = {}, files = {} }: { environment?: NodeJS.ProcessEnv, files?: Readonly<Record<string, string>> } = {}) => {
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  writeFileSync(join(folder, 'c.yaml'), text)
  const loaded = loadConfig(join(folder, 'c.yaml'), environment)
  const found = (loaded.ok ? problemsOf(loaded.config.faults) : loaded.problems).map(({ place, text }) => `${place.slice(folder.length + 1)} ${text}`)
  return { folder, loaded, problems: withRemedies(found) }
}
const configOf = (t: Test, ...given: Parameters<typeof load> extends [Test, ...infer Rest] ? Rest : never): Config => {
  const { loaded, problems } = load(t, ...given)
  if (!loaded.ok) throw new Error(problems.join('\n'))
  return loaded.config
}

// What is added to the small file above, and the problem: the line, the parameter, what would be right.
const mistakes: readonly (readonly [string, RegExp])[] = [
  ['deadlin: 2s', /^c.yaml:5 unknown parameter 'deadlin'; did you mean 'deadline'\?$/],
  ['zzz: 2s', /^c.yaml:5 unknown parameter 'zzz'; remove it, or use one that is known here: role, node, unknown, /],
  ['memory:\n  absent_entires: 4', /^c.yaml:6 unknown parameter 'absent_entires'; did you mean 'absent_entries'\?$/],
  ['databases:\n  mail:\n    host: localhost', /^c.yaml:7 unknown parameter 'host'; did you mean 'hosts'\?$/],
  ['deadline: soon', /^c.yaml:5 deadline: 'soon' is not a duration: .* such as 300ms or 7d$/],
  ['fresh_for: 1h', /^c.yaml:5 unknown parameter 'fresh_for'/],
  ['remember_for: 99999999w', /^c.yaml:5 remember_for: '99999999w' is too long; must be at most 3650d$/],
  ['breaker: {reset: 2h}', /^c.yaml:5 breaker.reset: is 2h; must be at most 1h$/],
  ['redis: {command_timeout: 30d}', /^c.yaml:5 redis.command_timeout: is 30d; must be at most 50s$/],
  ['deadline: [1]', /^c.yaml:5 deadline: is not a duration: /],
  ['deadline: 51s', /^c.yaml:5 deadline: is 51s; must be at most 50s: Postfix gives up after 100s$/],
  ['deadline: 1ms\nsoft_deadline: 0', /^c.yaml:5 deadline: is 1ms; must be at least 10ms$/],
  ['soft_deadline: 2s', /^c.yaml:5 soft_deadline: is 2s; must be shorter than deadline, 2s$/],
  ['memory:\n  bytes: lots', /^c.yaml:6 memory.bytes: 'lots' is not a size: .* such as 64M$/],
  ['memory: {entries: 0}', /^c.yaml:5 memory.entries: is 0; must be at least 1$/],
  ['warm_every: 30s', /^c.yaml:5 warm_every: is 30s; must be at least 1m$/],
  ['changes_every: 500ms', /^c.yaml:5 changes_every: is 500ms; must be at least 1s$/],
  ['admin_token: short', /^c.yaml:5 admin_token: the token has 5 characters; must be at least 16: `openssl rand -hex 16` makes one$/],
  ['connections: 1.5', /^c.yaml:5 connections: is 1.5; must be a whole number$/],
  ['connections: 5000', /^c.yaml:5 connections: is 5000; must be at most 1000$/],
  ['max_shrink: 130%', /^c.yaml:5 max_shrink: '130%' is not a share: write a percentage such as 30%$/],
  ['role: primry', /^c.yaml:5 role: is 'primry'; must be one of primary, fallback; or a section of host names/],
  ['local_domains: example.com', /^c.yaml:5 local_domains: is text; must be a list$/],
  ['recipient_delimiter: 1', /^c.yaml:5 recipient_delimiter: is a number; must be text, in quotes where it looks like a number$/],
  ['  recipient_guard: {search: exact, text: t}', /^c.yaml:5 maps.recipient_guard: Holdfast itself answers recipient_guard and lenient\/\.\.\.; give the map another name, in main.cf too$/],
  ['  lenient/x: {search: exact, text: t}', /^c.yaml:5 maps.lenient\/x: Holdfast itself answers /],
  ['  list: {search: exact, text: t, unknown: defer}\nrecipient_guard: [list]', /^c.yaml:5 unknown: is defer in a list of our domains \(recipient_guard has list\), .*; remove this$/],
  ['recipient_guard: [nobody]', /^c.yaml:5 recipient_guard: 'nobody' is no map; name maps that list domains, with search: exact, domain or virtual$/],
  ['redis:', /^c.yaml:5 redis: is empty; remove it, or write a section of NAME: VALUE$/],
  ['health: 8025', /^c.yaml:5 health: is a number; must be text/],
  ['health: localhost', /^c.yaml:5 health: 'localhost' is no address; write unix:PATH, inet:HOST:PORT or HOST:PORT$/],
  ['admin: 127.0.0.1:8026', /^c.yaml:5 admin: '127.0.0.1:8026' is no unix socket; write unix:PATH, .*, or off$/],
  ['log: {level: loud}', /^c.yaml:5 log.level: is 'loud'; must be one of debug, info, warn, error$/],
  ['databases: {mail: {user: [pf]}}', /^c.yaml:5 databases.mail.user: is a list; must be one value, such as text or a number$/],
  ['outage: reject', /^c.yaml:5 outage: is reject on a primary, which always defers what it can't know: remove this, or use role: fallback$/],
  ['mx_resolver: dns.example', /^c.yaml:5 mx_resolver: 'dns.example' is no IP address; write ADDRESS or ADDRESS:PORT$/],
  ['mx_resolver: 192.0.2.1:99999', /^c.yaml:5 mx_resolver: '192.0.2.1:99999' is no IP address/],
  ['mx_resolver: 192.0.2.1:0', /^c.yaml:5 mx_resolver: '192.0.2.1:0' is no IP address/],
  ['role: fallback\nunknown: defer', /^c.yaml:6 unknown: is defer on a fallback node, which rejects unknown recipients/],
  ['redis: {path: /run/r, port: 6379}', /^c.yaml:5 path: is set together with host or port: keep either path, or host and port$/],
  ['redis: {password_env: NONE}', /^c.yaml:5 password_env: the environment has no variable 'NONE': set it, or use password_file$/],
  ['redis: {password_file: none}', /^c.yaml:5 password_file: \/.*\/none can't be read: no such file or directory/],
  ['redis: {password: a, password_file: b}', /^c.yaml:5 password_file: is set together with password: keep one of the two$/],
  ['redis: {sentinels: ["127.0.0.1:26379"]}', /^c.yaml:5 sentinels: has no master; say which primary they watch, `master: NAME`, /],
  ['redis: {master: main}', /^c.yaml:5 master: is set without sentinels; goes with `sentinels: /],
  ['redis:\n  sentinel_password: x', /^c.yaml:6 sentinel_password: is set without sentinels; goes with `sentinels: /],
  ['redis:\n  cluster: [127.0.0.1]\n  host: localhost', /^c.yaml:7 host: is set together with cluster, which says where Redis is: remove one of the two$/],
  ['redis:\n  cluster: [127.0.0.1]\n  master: main\n  sentinels: [127.0.0.1]', /^c.yaml:8 sentinels: is set together with cluster, which says where Redis is: remove one of the two$/],
  ['redis:\n  sentinels: [s1]\n  master: main\n  path: /run/r', /^c.yaml:8 path: is set together with sentinels, which says where Redis is: remove one of the two$/],
  ['redis:\n  cluster: [127.0.0.1]\n  db: 3', /^c.yaml:7 db: is 3; a cluster has database 0 only: remove this, and use key_prefix to keep users apart$/],
  ['redis: {cluster: ["127.0.0.1:http"]}', /^c.yaml:5 cluster: '127.0.0.1:http' is no server: write HOST or HOST:PORT$/],
  ['redis: {cluster: []}', /^c.yaml:5 redis.cluster: is empty; name at least one node$/],
  ['redis: {path: /run/r, tls: true}', /^c.yaml:5 path: is a unix socket, over which there is no TLS: /],
  ['redis: {tls_verify_cert: false}', /^c.yaml:5 tls_verify_cert: is set without TLS; goes with `tls: true`: add that, or remove this$/],
  ['redis: {tls: false, tls_CAfile: c.yaml}', /^c.yaml:5 tls: is false beside tls_CAfile: remove one/],
  ['redis: {tls_cert_file: c.yaml}', /^c.yaml:5 tls_cert_file: is set without tls_key_file; goes with it: add that, or remove this$/],
  ['redis: {tls_key_file: c.yaml}', /^c.yaml:5 tls_key_file: is set without tls_cert_file; goes with it: /],
  ['redis: {tls_CAfile: none}', /^c.yaml:5 tls_CAfile: \/.*\/none can't be read: no such file or directory/],
  ['redis: {tls_cert_file: c.yaml, tls_key_file: c.yaml}', /^c.yaml:5 tls_cert_file, tls_key_file: can't be used: .*; must be PEM/],
  ['redis: {sentinels: [s1], master: main, sentinel_password: a, sentinel_password_env: b}', /^c.yaml:5 sentinel_password_env: is set together with sentinel_password: keep one of the two$/],
  ['databases:\n  unused: {password_file: none}', /^c.yaml:6 password_file: \/.*\/none can't be read: no such file or directory/],
  ['databases:\n  mail: {password: *secret}', /^c.yaml:6 not YAML: Unresolved alias .*; put text that begins with \* in quotes$/],
  ['role: primary\nrole: fallback', /^c.yaml:6 not YAML: Map keys must be unique; remove one of the two$/],
  ['\trole: primary', /^c.yaml:5 not YAML: Tabs are not allowed as indentation; indent with blanks$/],
]

for (const [added, problem] of mistakes) {
  t.test(`${JSON.stringify(added)} is refused, with its line, its name, what was found and what would be right`, t => {
    const { problems } = load(t, `${small}${added}\n`)
    t.match(problems[0] ?? 'accepted', problem)
    t.end()
  })
}

t.test('what follows from a misspelt name, or from the first fault of the YAML, is not told', t => {
  const map = (text: string) => load(t, `listen:\n  - socketmap: unix:/run/s\nmaps:\n  m:\n${text}`).problems
  t.equal(map('    serch: exact\n    text: t\n').length, 1)
  t.equal(map('    text: t\n\tsearch: exact\n  n:\n    text: t\n').length, 1)
  t.end()
})

// A map's line, and the problem.
const mapMistakes: readonly (readonly [string, RegExp])[] = [
  ['{text: t}', /^c.yaml:4 maps.m.search: is missing; say how Postfix uses this map: virtual \(virtual_alias_maps\), .* exact /],
  ['{serch: exact, text: t}', /^c.yaml:4 unknown parameter 'serch'; did you mean 'search'\?$/],
  ['\n   search: exact\n    text: t', /^c.yaml:5 not YAML: .*; begin the lines of one section in one column, and put /],
  ['{search: virtal, text: t}', /^c.yaml:4 maps.m.search: is 'virtal'; say how Postfix uses this map: virtual /],
  ['{search: exact}', /^c.yaml:4 maps.m: has no table; must have exactly one of `cf:` .*, `database:` with `query:`, or `text:`/],
  ['{search: exact, text: t, cf: c}', /^c.yaml:4 maps.m: has cf and text; must have exactly one of /],
  ['{search: exact, database: mial, query: SELECT 1}', /^c.yaml:4 database: 'mial' is not under `databases`; did you mean 'mail'\?$/],
  ['{search: exact, database: postfixadmin, query: SELECT 1}', /^c.yaml:4 database: 'postfixadmin' is not under `databases`; name one that is: mail$/],
  ['{search: exact, text: t, in_outage: pass}', /^c.yaml:4 in_outage: is pass in a map with absence: refuses; goes with `absence: passes` or `reroutes`, .*: remove this$/],
  ['{search: exact, database: mail}', /^c.yaml:4 maps.m: has `database:` without `query:`: add the query$/],
  ['{search: transport, text: t, unknown: defer}', /^c.yaml:4 unknown: is defer in a transport map, where most keys are absent/],
  ['{search: domain, text: t, unknown: defer}', /^c.yaml:4 unknown: is defer in a domain map, where most keys are absent/],
  ['{search: recipient, absence: passes, text: t, unknown: defer}', /^c.yaml:4 unknown: is defer in a map with absence: passes, where most keys are absent/],
  ['{search: exact, text: t, fresh_for: 1h, stale_for: 10m}', /^c.yaml:4 stale_for: is 10m; must be at least fresh_for, 1h, since both count from the verification/],
  ['{search: exact, text: t, warm: auto}', /^c.yaml:4 warm: the map has a text table, which is whole in memory as it is: remove this$/],
  ['{search: exact, cf: c, warm: yes please}', /^c.yaml:4 warm: 'yes please' is no query; write auto, or a query such as SELECT address, goto FROM alias$/],
  ['{search: exact, text: t, changes: x}', /^c.yaml:4 changes: the map has a text table, which is read at start and on reload: remove this$/],
  ['{search: exact, text: t, freshfor: 1h}', /^c.yaml:4 unknown parameter 'freshfor'; did you mean 'fresh_for'\?$/],
]

for (const [map, problem] of mapMistakes) {
  t.test(`the map ${map} is refused, with its line, its name and what would be right`, t => {
    const { problems } = load(t, `listen:\n  - socketmap: unix:/run/s\nmaps:\n  m: ${map}\ndatabases:\n  mail: {hosts: localhost}\n`)
    t.match(problems[0] ?? 'accepted', problem)
    t.end()
  })
}

// A listener's line, and the problem.
const listenerMistakes: readonly (readonly [string, RegExp])[] = [
  ['{}', /^c.yaml:2 listen: has neither socketmap nor tcp; must have one: /],
  ['{socketmap: unix:/run/s, tcp: 127.0.0.1:1}', /^c.yaml:2 listen: has socketmap and tcp; must have one: /],
  ['{socketmap: unix:run/s}', /^c.yaml:2 socketmap: 'unix:run\/s' has no whole path; write one, such as unix:/],
  [`{socketmap: unix:/${'x'.repeat(98)}}`, /^c.yaml:2 socketmap: .* has a path of 99 bytes; that of a socket has at most 98: write a shorter one$/],
  ['{socketmap: /run/s}', /^c.yaml:2 socketmap: '\/run\/s' is no address; write unix:PATH, inet:HOST:PORT or HOST:PORT$/],
  ['{socketmap: 127.0.0.1:70000}', /^c.yaml:2 socketmap: '127.0.0.1:70000' has port 70000; must be at most 65535$/],
  ['{socketmap: 127.0.0.1:70000}', /^c.yaml:2 socketmap: /],
  ['{socketmap: unix:/run/s, map: m}', /^c.yaml:2 map: is set together with socketmap, /],
  ['{socketmap: unix:/run/s, mode: 0660}', /^c.yaml:2 listen.0.mode: '660' is no mode; write it in octal and in quotes/],
  ['{socketmap: unix:/run/s, mode: "0888"}', /^c.yaml:2 listen.0.mode: '0888' is no mode; write it in octal and in quotes/],
  ['{socketmap: unix:/run/s, group: nogroup-of-this-name}', /^c.yaml:2 group: 'nogroup-of-this-name' is no group of this machine; /],
  ['{tcp: 127.0.0.1:1}', /^c.yaml:2 tcp: has no `map:`; say which map is asked here/],
  ['{tcp: 127.0.0.1:1, map: n}', /^c.yaml:2 map: 'n' is not under `maps`; name one that is: m$/],
  ['{tcp: unix:/run/s, map: m}', /^c.yaml:2 tcp: is a unix socket, which Postfix's tcp: tables can't ask/],
]

for (const [listener, problem] of listenerMistakes) {
  t.test(`the listener ${listener.slice(0, 60)} is refused, with its line, its name and what would be right`, t => {
    const { problems } = load(t, `listen:\n  - ${listener}\nmaps:\n  m: {search: exact, text: t}\n`)
    t.match(problems[0] ?? 'accepted', problem)
    t.end()
  })
}

t.test('all problems are reported at once: first those of the shape, then those between parameters', t => {
  t.equal(load(t, `${small}deadlin: 1\nrole: x\nmemory: {entries: 0}\n`).problems.length, 3)
  t.equal(load(t, `${small}outage: reject\nsoft_deadline: 3s\nhealth: x\n`).problems.length, 3)
  t.strictSame(load(t, '').problems, ['c.yaml:1 listen: is missing; must be a list', 'c.yaml:1 maps: is missing; must be a section of NAME: VALUE'])
  t.end()
})

t.test('on a fallback node no map may defer what is unknown', t => {
  const { problems } = load(t, 'role: fallback\nlisten:\n  - socketmap: unix:/run/s\nmaps:\n  m: {search: recipient, text: t, unknown: defer}\n')
  t.match(problems, [/^c.yaml:5 unknown: is defer on a fallback node, which rejects unknown recipients/])
  t.end()
})

t.test('a password that several maps use and can\'t be read is one problem', t => {
  const { problems } = load(t, `${small}  b: {search: exact, database: mail, query: SELECT 1}
  c: {search: exact, database: mail, query: SELECT 2}
databases:
  mail: {password_file: none}
`)
  t.equal(problems.length, 1)
  t.end()
})

t.test('a missing file is a problem like any other', t => {
  const loaded = loadConfig('/nonexistent/c.yaml', {})
  t.match(loaded, { ok: false, problems: [{ place: '/nonexistent/c.yaml', text: /^can't be read: no such file or directory/ }] })
  t.end()
})

t.test('no text makes it throw, and no problem holds a password', t => {
  for (const text of ['- a', 'text', '*a', '{', '? ', '!!binary x', '--- a\n--- b', 'a: &a [*a]', 'maps: 1', 'listen: {}', 'maps: {x: 1}', '\0', '&a : *a', 'databases: {x: 1}']) {
    t.equal(load(t, text).loaded.ok, false, JSON.stringify(text))
  }
  const { problems } = load(t, `${small}databases:\n  mail: {password: [s3cret]}\nredis: {password: {s3cret: 1}}\n`)
  t.equal(problems.length, 2)
  t.notMatch(problems.join(), /s3cret/)
  t.end()
})

t.test('passwords come from the file, the first line of another file, or the environment', t => {
  const config = (way: string) => configOf(t, `${small}redis: {${way}}\n`, { files: { secret: 'p#a%s $x\nsecond line\n' }, environment: { REDIS_PASSWORD: 'from outside' } })
  t.equal(config('password: plain').redis?.password, 'plain')
  t.equal(config('password_file: secret').redis?.password, 'p#a%s $x')
  t.equal(config('password_env: REDIS_PASSWORD').redis?.password, 'from outside')
  t.end()
})

t.test('Redis is one server, one that Sentinels name, or a cluster', t => {
  const redis = (text: string) => configOf(t, `${small}redis: {${text}}\n`, { files: { secret: 's3cret\n' } }).redis
  t.match(redis('sentinels: [s1, "s2:5000", "[::1]:26379"], master: main, sentinel_password_file: secret, password: p'), {
    sentinels: [{ host: 's1', port: 26_379 }, { host: 's2', port: 5_000 }, { host: '::1', port: 26_379 }], master: 'main', sentinelPassword: 's3cret', password: 'p', tls: null,
  })
  t.match(redis('cluster: [c1, "c2:7000"], tls: true'), { cluster: [{ host: 'c1', port: 6_379 }, { host: 'c2', port: 7_000 }], tls: { verify: true } })
  t.match(redis('host: r1, tls: true, tls_verify_cert: false'), { host: 'r1', tls: { verify: false } })
  t.end()
})

t.test('a parameter that is not set has its documented default', t => {
  const { file, maps, listeners, redis, snapshotPath } = configOf(t, `${small}  domains: {search: domain, text: d}\n`)
  t.match(file, { role: 'primary', unknown: 'reject', deadline: 2_000, soft_deadline: 300, max_shrink: 0.3 })
  t.equal(redis, null)
  t.equal(snapshotPath, null)
  t.match(listeners, [{ protocol: 'socketmap', address: { kind: 'unix', path: '/run/holdfast/s', mode: 0o666, gid: null } }])
  t.strictSame(maps.map(({ lifetimes }) => lifetimes), [
    { freshForMs: 300_000, staleForMs: 604_800_000, absentForMs: 30_000 },
    { freshForMs: 300_000, staleForMs: 604_800_000, absentForMs: 5_000 },
  ])
  t.end()
})

t.test('a socket with a group is for that group alone, unless its mode says otherwise', t => {
  const address = (rest: string) => configOf(t, `listen:\n  - {socketmap: unix:/run/s, ${rest}}\nmaps:\n  m: {search: exact, text: t}\n`).listeners[0]?.address
  t.match(address('group: root'), { mode: 0o660, gid: 0 })
  t.match(address('group: 4242'), { mode: 0o660, gid: 4_242 })
  t.match(address('group: "4242", mode: "0600"'), { mode: 0o600, gid: 4_242 })
  t.end()
})

t.test('a socket for a sensitive map is not open to every account unless its mode says so', t => {
  const logins = '  logins: {search: recipient, text: l, sensitive: true}\n'
  t.match(load(t, `${small}${logins}`).problems, [/^c.yaml:2 socketmap: has neither group nor mode, so every account .* logins, .* `group: postfix`$/])
  const { maps } = configOf(t, `${closed}${logins}`)
  t.match(maps.at(-1)?.lifetimes, { freshForMs: 300_000, staleForMs: 86_400_000, absentForMs: 30_000 })
  t.match(configOf(t, `${closed.replace('group: root', 'mode: "0666"')}${logins}`).listeners[0]?.address, { mode: 0o666 })
  t.end()
})

t.test('a primary defers what it can\'t know in every map; unknown: defer acts on recipients alone', t => {
  const { maps } = configOf(t, `unknown: defer\n${small}  users: {search: recipient, text: u}\n  domains: {search: domain, text: d}\n`)
  t.strictSame(maps.map(({ policy: { unknown, outage } }) => ({ unknown, outage })), [
    { unknown: 'reject', outage: 'defer' }, { unknown: 'defer', outage: 'defer' }, { unknown: 'reject', outage: 'defer' },
  ])
  t.end()
})

t.test('unknown: defer and outage: reject leave maps alone whose absence refuses no recipient', t => {
  const tables = '  users: {search: recipient, text: u}\n  bcc: {search: recipient, absence: passes, text: b}\n'
    + '  relayhosts: {search: recipient, absence: reroutes, text: r}\n  passwords: {search: recipient, sensitive: true, text: p}\n'
  const policies = (head: string) =>
    configOf(t, `${head}\n${small.replace(/^(\s+- socketmap: .*)$/m, '$1\n    mode: "0660"')}${tables}`)
      .maps.filter(({ name }) => tables.includes(` ${name}:`)).map(({ policy }) => policy)
  t.strictSame(policies('unknown: defer').map(({ unknown }) => unknown), ['defer', 'reject', 'reject', 'reject'])
  t.strictSame(policies('role: fallback\noutage: reject').map(({ outage }) => outage), ['reject', 'defer', 'defer', 'defer'])
  t.end()
})

t.test('a fallback rejects what it can\'t look up only with outage: reject, and never a domain or sensitive key', t => {
  const outages = (first: string) => configOf(t, `role: fallback\n${first}${closed}  users: {search: recipient, text: u}
  boxes: {search: exact, text: u}
  domains: {search: domain, text: d}
  logins: {search: recipient, text: l, sensitive: true}
  routes: {search: transport, text: r}
`).maps.map(({ policy }) => policy.outage)
  t.strictSame(outages('outage: reject\n'), ['reject', 'reject', 'defer', 'defer', 'defer', 'defer'])
  t.strictSame(outages(''), ['defer', 'defer', 'defer', 'defer', 'defer', 'defer'])
  t.end()
})

t.test('relative paths are resolved against the configuration file\'s folder', t => {
  const { folder, loaded } = load(t, `${small}  cf: {search: exact, cf: [one.cf, /etc/postfix/two.cf]}\nsnapshot: known\n`)
  if (!loaded.ok) throw new Error('refused')
  t.strictSame(loaded.config.maps.map(({ source }) => source), [
    { kind: 'text', path: join(folder, 'aliases') }, { kind: 'cf', paths: [join(folder, 'one.cf'), '/etc/postfix/two.cf'] },
  ])
  t.equal(loaded.config.snapshotPath, join(folder, 'known'))
  t.end()
})

t.test('an inline map has its database\'s parameters and its own, each with its line', t => {
  const { folder, loaded } = load(t, `listen:
  - socketmap: unix:/run/s
databases:
  mail:
    hosts: [unix:/run/mysqld/mysqld.sock, 192.0.2.1]
    user: holdfast
    dbname: 1
    tls_verify_cert: true
    password: p#a%s $x
maps:
  m:
    search: exact
    database: mail
    query: SELECT goto FROM alias WHERE address='%s'
    expansion_limit: 5
`)
  const source = loaded.ok ? loaded.config.maps[0]?.source : undefined
  if (source?.kind !== 'inline') throw new Error('not inline')
  t.strictSame(source.parameters, {
    hosts: 'unix:/run/mysqld/mysqld.sock, 192.0.2.1', user: 'holdfast', dbname: '1', tls_verify_cert: 'yes', password: 'p#a%s $x',
    query: 'SELECT goto FROM alias WHERE address=\'%s\'', expansion_limit: '5',
  })
  t.equal(source.placeOf('user'), `${folder}/c.yaml:6`)
  t.equal(source.placeOf('query'), `${folder}/c.yaml:14`)
  t.end()
})

t.test('one file has the roles of all nodes: each takes its own', t => {
  const file = (node: string, more = '') => load(t, `${small}node: ${node}\nunknown: defer\noutage: reject\n`
    + `role: {default: primary, mx9.example.com: fallback, MX8.example.com.: fallback${more}}\n`)
  const nameOf = (node: string): string => {
    const { loaded } = file(node)
    return loaded.ok ? loaded.config.node.name : ''
  }
  for (const [node, name, role, unknown, outage] of [
    ['mx1.example.com', 'mx1.example.com', 'primary', 'defer', undefined],
    ['mx9.example.com', 'mx9.example.com', 'fallback', 'reject', 'reject'],
    // A host's name without its domain.
    ['mx8', 'mx8.example.com', 'fallback', 'reject', 'reject'],
    ['mx9.other.example', 'mx9.other.example', 'primary', 'defer', undefined],
  ] as const) {
    const { loaded, problems } = file(node)
    t.strictSame(problems, [], node)
    const config = loaded.ok ? loaded.config : undefined
    t.match(config, { node: { name, role }, file: { role, unknown, outage } }, node)
    t.equal(config?.node.roles.size, 2)
  }
  t.equal(nameOf('MX1.Example.com.'), 'mx1.example.com')
  t.match(file('mx9', ', mx9.example.net: primary').problems, [/role: mx9\.example\.com and mx9\.example\.net may each be/])
  t.end()
})
