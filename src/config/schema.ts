/**
 * The shape of the configuration file: each parameter with its form, its default and its description. The checks, the
 * JSON Schema and holdfast.yaml(5) are made from it. Defaults of durations and sizes are in the text form (`prefault`)
 * that users write.
 */
import * as z from 'zod'
import { absenceEffects, searches } from '../postfix/parameters.js'
import { duration, share, size } from './units.js'

const text = z.string().min(1)
/** mysql_table(5) has texts only; YAML makes numbers and booleans of some of them. */
const mysqlValue = z.union([z.string(), z.number(), z.boolean()])
/** Those of one kind; tables/definition.ts checks them. */
const yesOrNo = mysqlValue.meta({ id: 'yesno', description: 'yes or no.' })
const count = mysqlValue.meta({ id: 'number', description: 'A whole number.' })

const secret = {
  password: z.string().optional().describe('The password. Keep it out of this file, if you can'),
  password_file: text.optional().describe('A file whose first line is the password. It is read at start and on reload'),
  password_env: text.optional().describe('An environment variable that holds the password'),
}

const modeHelp = 'is no mode; write it in octal and in quotes, such as "0660"'

const listener = z.strictObject({
  socketmap: text.optional().describe('The address where Postfix asks with the socketmap protocol, unix:PATH or '
    + 'inet:HOST:PORT. In main.cf it is socketmap:unix:PATH:MAP'),
  tcp: text.optional().describe('The address where Postfix asks for one map with the tcp_table protocol, HOST:PORT. In '
    + 'main.cf it is tcp:HOST:PORT'),
  map: text.optional().describe('With `tcp`: the map that Postfix asks for there. The protocol has no map names'),
  mode: z.string(modeHelp).regex(/^0?[0-7]{3}$/, modeHelp).optional()
    .describe('With unix:PATH: the permissions of the socket. The default is "0660" with `group`, else "0666"'),
  group: z.union([text, z.int().min(0)]).optional()
    .describe('With unix:PATH: the group of the socket, by name or by number. The default is that of the daemon'),
  allow: z.array(text).min(1).optional().describe('With HOST:PORT: the networks that may connect, besides this '
    + 'machine. Required unless HOST is this machine'),
})
export type ListenerSection = z.output<typeof listener>

const database = z.strictObject({
  hosts: z.union([mysqlValue, z.array(z.string())]).optional()
    .describe('The servers, as in mysql_table(5): unix:PATH, HOST or HOST:PORT. As in Postfix, the order in which they '
      + 'are written does not matter: Holdfast asks sockets before hosts, each kind in an order that it draws when it '
      + 'opens the map. If one fails, it asks the next one, and the first one again as soon as that answers'),
  user: mysqlValue.optional().describe('The account. It needs SELECT on the tables and no more'),
  ...secret,
  dbname: mysqlValue.optional().describe('The name of the database'),
  charset: mysqlValue.optional()
    .describe('The character set of the connection, as in mysql_table(5). The default is utf8mb4'),
  option_file: mysqlValue.optional()
    .describe('A MySQL option file (my.cnf) to read as well. Where both have a parameter, this configuration counts'),
  option_group: mysqlValue.optional().describe('The group to read in the option file. The default is client'),
  tls_cert_file: mysqlValue.optional().describe('The client\'s certificate, PEM'),
  tls_key_file: mysqlValue.optional().describe('The client\'s private key, PEM'),
  tls_CAfile: mysqlValue.optional()
    .describe('The certificates of the authorities that may sign the server\'s certificate, PEM'),
  tls_CApath: mysqlValue.optional().describe('A folder of such certificates, PEM'),
  tls_ciphers: mysqlValue.optional().describe('The ciphers to offer, as OpenSSL names them'),
  tls_verify_cert: yesOrNo.optional()
    .describe('yes: the name in the server\'s certificate must be the host that Holdfast connects to'),
})

/** Parameters of a map that mysql_table(5) has too. */
const queryParameters = {
  query: mysqlValue.optional().describe('The query, as in mysql_table(5): SELECT goto FROM alias WHERE address=\'%s\''),
  result_format: mysqlValue.optional()
    .describe('How a result becomes an answer, as in mysql_table(5). The default is %s'),
  domain: z.union([mysqlValue, z.array(z.string())]).optional()
    .describe('The domains whose keys are looked up, as in mysql_table(5). Other keys are absent'),
  expansion_limit: count.optional()
    .describe('The largest number of results of one lookup. More are a temporary error. 0, the default, is no limit'),
  require_result_set: yesOrNo.optional()
    .describe('yes: a statement without a result set is an error; no: its key is absent. The default is yes'),
}

const mapSchema = z.strictObject({
  search: z.enum(searches).describe('The steps of a lookup: those of Postfix for a mysql: table of this purpose'),
  cf: z.union([text, z.array(text).min(1)]).optional()
    .describe('A mysql_table(5) file. The tables of a list are asked in order, as Postfix asks those of a parameter'),
  text: text.optional().describe('A Postfix text table (the source form of texthash:)'),
  database: text.optional().describe('With `query`: the database to ask, by its name under `databases`'),
  ...queryParameters,
  fresh_for: duration.optional().describe('The time after its verification for which Holdfast uses a found answer '
    + 'without asking the table again. The default is 5m'),
  stale_for: duration.optional().describe('The time after its verification for which Holdfast uses a found answer '
    + 'while the table can\'t be asked, and a copy after it was taken. 0 is never. The default is 7d, and 1d for a '
    + 'sensitive map'),
  absent_for: duration.optional().describe('The time for which Holdfast uses an absent answer without asking the table '
    + 'again. The default is 30s, and 5s with search: domain or transport'),
  sensitive: z.boolean().default(false).describe('true: the map grants rights or holds secrets. Holdfast keeps it '
    + 'neither in Redis nor on disk, and logs none of its keys'),
  smtputf8_enable: z.enum(['yes', 'no']).optional().describe('Overrides `smtputf8_enable` for this map'),
  unknown: z.enum(['reject', 'defer']).optional().describe('Overrides `unknown` for this map'),
  absence: z.enum(absenceEffects).optional().describe('What happens to mail if this map says absent, which decides '
    + 'what it answers in an outage. refuses: a recipient or a domain is refused, so it never says so then. reroutes: '
    + 'mail takes another way. passes: nothing. weakens: mail is less protected. The default is refuses for recipient, '
    + 'virtual, domain and exact, reroutes for transport, canonical and generic, and passes for access. Since 0.2.0'),
  in_outage: z.enum(['pass', 'pass-strangers', 'defer']).optional().describe('With absence: passes or reroutes: the '
    + 'answer in an outage for a key that nobody has asked for before and that no copy knows. pass: absent. defer: a '
    + 'temporary error. pass-strangers: pass, except for the domains of this node. The default is pass for access, '
    + 'pass-strangers for a sensitive map with absence: passes, and else defer. Since 0.2.0'),
  confirm_for: duration.optional().describe('The time between two absent answers of the table after which Holdfast '
    + 'believes that a known key is gone. One is enough after a flush of the key. The default is 5m, and 1m for a '
    + 'sensitive map. Holdfast asks the second time by itself. Since 0.2.0'),
  max_shrink: share.optional().describe('Overrides `max_shrink` for this map'),
  changes: text.optional().describe('A query for the keys that changed since a time: SELECT address FROM alias WHERE '
    + 'modified >= \'%s\'. Holdfast looks these up again, so that edits show within seconds'),
  warm: text.optional().describe('Loads the whole table into the caches ahead of demand. `auto`: Holdfast derives the '
    + 'list of keys from the query, if that is plain enough; or a query for keys and answers: SELECT address, goto '
    + 'FROM alias WHERE active=1'),
  canary: text.optional().describe('A key that must always be found. While a server lacks it, Holdfast believes '
    + 'nothing that this server says, in any map'),
})
export type MapSection = z.output<typeof mapSchema>

const roleName = z.enum(['primary', 'fallback'])

const node = {
  role: z.union([roleName, z.record(z.string().min(1), roleName)], 'must be one of primary, fallback; or a section of '
    + 'host names with the role of each')
    .default('primary').describe('primary: the node always defers what it can\'t know. fallback: the node is the last '
      + 'MX and may reject. Or, since 0.2.0, a section of host names, so that all nodes can have the same '
      + 'file: {default: primary, mx9.example.com: fallback}. In it, `unknown: defer` is for the primaries and '
      + '`outage` for the fallback'),
  node: text.optional()
    .describe('The name by which `role` knows this node. The default is the host\'s name. Since 0.2.0'),
  unknown: z.enum(['reject', 'defer']).default('reject').describe('On a primary: the answer for a recipient that the '
    + 'table says is absent. reject: no such recipient. defer: a temporary error, so that the client goes on to the '
    + 'next MX. A client that gives up after two hosts that answered, as Postfix does by default, may never come to a '
    + 'fallback behind three primaries. It acts on maps with search: recipient and absence: refuses, and on maps that '
    + 'set it themselves'),
  outage: z.enum(['reject', 'defer']).optional()
    .describe('On a fallback: the answer for a recipient that can\'t be known in an outage. The default is defer'),
  outage_after: duration.prefault('1m').describe('With outage: reject: the time for which all servers of the table '
    + 'must have been out (no connection, or no answer) before the node rejects. An error that a server states is no '
    + 'outage, nor is the node\'s own trouble: a process that was held up, a Redis that can\'t be read. Since 0.2.0'),
  mx_primaries: z.int().min(1).default(3).describe('The number of primaries that the MX records of each domain must '
    + 'name, for `holdfast mx`. With fewer primaries, all of them. Since 0.2.0'),
  mx_every: duration.optional().describe('The time between two checks of the MX records of all domains, as '
    + '`holdfast mx` makes them. The status page and the metrics count the domains in each state. At least 1m. The '
    + 'default is never. While some are wrong or could not be asked, at least every hour. Since 0.2.0'),
  mx_resolver: text.optional().describe('The DNS server that `mx_every` and `holdfast mx` ask: ADDRESS or '
    + 'ADDRESS:PORT. The default is the system\'s. Since 0.2.0'),
}

const addresses = {
  listen: z.array(listener).min(1, 'name at least one listener').describe('The addresses where Postfix asks'),
  health: text.default('127.0.0.1:8025').describe('HOST:PORT or unix:PATH for the status page, /livez, /readyz and '
    + '/metrics over HTTP, or `off`. Every account of this machine may connect'),
  admin: text.default('off').describe('unix:PATH for `holdfast explain`, `trust`, `flush`, `warm`, `forget`, `export` '
    + 'and `import`, or `off`. Root, and the daemon\'s user and group, may connect'),
  admin_token: text.optional().describe('A token: whoever sends it to `health` as `Authorization: Bearer TOKEN` may '
    + 'POST /flush, /trust, /warm and /forget. Keep it out of this file, if you can'),
  admin_token_file: text.optional().describe('A file whose first line is the token'),
  admin_token_env: text.optional().describe('An environment variable that holds the token'),
  max_connections: z.int().min(1).default(4_000)
    .describe('The largest number of clients of each listener. More get a temporary error'),
}

const postfix = {
  smtputf8_enable: z.enum(['yes', 'no']).default('yes').describe('As in main.cf. no: only the case of ASCII letters '
    + 'makes no difference, and Holdfast looks up keys that aren\'t UTF-8 as well'),
  recipient_delimiter: z.string().default('')
    .describe('As in main.cf: the characters that separate a user from an extension (user+news)'),
  propagate_unmatched_extensions: z.array(z.string()).default(['canonical', 'virtual'])
    .describe('As in main.cf: the kinds of maps that put the extension of a key back on their results'),
  parent_domain_matches_subdomains: z.array(z.string()).default([
    'debug_peer_list', 'fast_flush_domains', 'mynetworks', 'permit_mx_backup_networks', 'qmqpd_authorized_clients',
    'relay_domains', 'smtpd_access_maps',
  ]).describe('As in main.cf: the parameters for which example.com stands for its subdomains too'),
  local_domains: z.array(z.string()).default([]).describe('The domains of myorigin and mydestination, as in main.cf. '
    + 'Their users are also looked up without the domain'),
  static_domains: z.array(z.string()).default([]).describe('The domains that main.cf lists by name in mydestination, '
    + 'relay_domains, virtual_alias_domains and virtual_mailbox_domains. In an outage Holdfast knows that mail is '
    + 'accepted for them. Since 0.2.0'),
  recipient_guard: z.array(z.string()).default([]).describe('The maps that list the domains of this node, for mail '
    + 'from strangers in an outage. Holdfast then answers two more names: recipient_guard, which Postfix asks before '
    + 'it refuses a recipient for its domain, and lenient/MAP, which says absent where MAP can\'t know. `holdfast '
    + 'adopt` sets up all of it. Since 0.2.0'),
}

const times = {
  deadline: duration.prefault('2s').describe('The longest time that a lookup takes, from 10ms to 50s'),
  soft_deadline: duration.prefault('300ms')
    .describe('The time after which a lookup uses a stale value, if there is one, instead of waiting for the table'),
}

const memory = z.strictObject({
  entries: z.int().min(1).default(200_000).describe('The largest number of found answers of each map'),
  bytes: size.prefault('64M').describe('The largest size of these, for each map'),
  absent_entries: z.int().min(1).default(20_000).describe('The largest number of absent answers of each map'),
})

const redis = z.strictObject({
  host: text.optional().describe('The host of Redis. The default is 127.0.0.1'),
  port: z.int().min(1).max(65_535).optional().describe('The port of Redis. The default is 6379'),
  path: text.optional().describe('A unix socket, instead of host and port'),
  sentinels: z.array(text).min(1, 'name at least one Sentinel').optional()
    .describe('HOST:PORT of each Sentinel, instead of host and port. The default port is 26379'),
  master: text.optional().describe('With sentinels: the name of the primary that they watch'),
  sentinel_username: text.optional().describe('With sentinels: an ACL user on them'),
  sentinel_password: z.string().optional()
    .describe('With sentinels: their password, if they have one. Keep it out of this file, if you can'),
  sentinel_password_file: text.optional().describe('A file whose first line is that password'),
  sentinel_password_env: text.optional().describe('An environment variable that holds that password'),
  cluster: z.array(text).min(1, 'name at least one node').optional()
    .describe('HOST:PORT of some nodes of a Redis Cluster, instead of host and port. They name the other nodes'),
  tls: z.boolean().optional().describe('true: use TLS, to Sentinels too. The other tls parameters imply it'),
  tls_CAfile: text.optional().describe('The certificates of the authorities that may sign the server\'s certificate, '
    + 'PEM. The default is those of Node.js'),
  tls_cert_file: text.optional().describe('The client\'s certificate, PEM'),
  tls_key_file: text.optional().describe('The client\'s private key, PEM'),
  tls_verify_cert: z.boolean().optional().describe('false: accept any certificate. By default a known authority must '
    + 'have signed the server\'s certificate, and it must be for the host that Holdfast connects to'),
  username: text.optional().describe('An ACL user. The default is Redis\' own default user'),
  ...secret,
  db: z.int().min(0).optional().describe('The number of Redis\' database. The default is 0'),
  key_prefix: z.string().default('holdfast:')
    .describe('The beginning of each key in Redis. Nodes with the same one share their answers'),
  command_timeout: duration.prefault('100ms')
    .describe('The longest time for a command. If Redis takes longer, Holdfast does without it for some seconds'),
})

const breaker = z.strictObject({
  failures: z.int().min(1).default(5).describe('The number of failures in a row after which Holdfast stops asking the '
    + 'server. It also stops if more than half of at least so many lookups within 10 s fail, or if MySQL sends nothing '
    + 'for `deadline` while an answer is due'),
  reset: duration.prefault('5s').describe('The time after which Holdfast tries a server again that failed, in the '
    + 'background, whether or not anybody asks. At most 1h'),
})

const servers = {
  databases: z.record(z.string(), database).default({})
    .describe('MySQL servers for maps with `query`: a name of your choice, and parameters as in mysql_table(5)'),
  connections: z.int().min(1).max(1_000).default(8).describe('The number of connections to each MySQL server'),
  connect_timeout: duration.prefault('10s').describe('The longest time for opening a connection to a MySQL server. It '
    + 'opens in the background: no lookup waits longer than its own deadline. Since 0.2.0'),
  breaker: breaker.prefault({}).describe('When Holdfast stops asking a MySQL server that fails'),
}

const trust = {
  max_lag: duration.optional().describe('The largest lag of a replica. If it is further behind, or has stopped, '
    + 'Holdfast does not believe an absence from it. The account needs REPLICATION CLIENT (MariaDB: SLAVE MONITOR). '
    + 'The default is no limit'),
  max_shrink: share.prefault('30%').describe('The largest share of known keys that may be gone from a table. If more '
    + 'are gone, Holdfast does not believe its absences. 100% is no limit'),
}

const upkeep = {
  snapshot: text.optional().describe('The file that keeps the cache over a restart. The default is `snapshot` in the '
    + 'service\'s StateDirectory'),
  remember_for: duration.prefault('30d').describe('The time after the last lookup of a key for which Holdfast verifies '
    + 'it again in the background, about once a day, so that `stale_for` counts from a recent check. For so long, too, '
    + 'a key that is too old to be served counts as known. 0 is never'),
  changes_every: duration.prefault('5s')
    .describe('The time between two runs of the `changes` query of a map. At least 1s'),
  copy_every: duration.prefault('15m').describe('The time between two copies of each table, which answer only while '
    + 'the table can\'t be asked. At least 1m. Since 0.2.0'),
  copy_rows: z.int().min(0).default(500_000).describe('The largest number of rows of all copies together, the smallest '
    + 'tables first. They take at most 200 bytes of memory for each of these rows, 100 MB with the default, and while '
    + 'a table is copied anew that copy besides. 0 takes none. Since 0.2.0'),
  copies: text.optional().describe('The folder that keeps the copies over a restart. The default is `copies` in the '
    + 'service\'s StateDirectory. Since 0.2.0'),
  warm_every: duration.prefault('6h')
    .describe('The time between two loads of a map with `warm`, by one of the nodes that share a Redis. At least 1m'),
}

const log = z.strictObject({
  level: z.enum(['debug', 'info', 'warn', 'error']).default('info')
    .describe('The least important lines to log. The keys of lookups are logged at debug only'),
  format: z.enum(['text', 'json']).default('text').describe('json: one object a line, for collectors'),
})

export const schema = z.strictObject({
  ...node,
  ...addresses,
  maps: z.record(z.string().regex(/^[^\s:]+$/, 'is no name for a map: it holds a blank or a colon; write one such as '
    + 'virtual_alias'), mapSchema)
    .describe('The maps that Postfix asks for, by name'),
  ...servers,
  ...postfix,
  ...times,
  memory: memory.prefault({}).describe('The cache in memory'),
  redis: redis.optional().describe('A Redis (or Valkey) in which nodes share their answers. The default is none'),
  ...trust,
  ...upkeep,
  log: log.prefault({}).describe('The log, on standard error'),
})
/** What is written in the file. */
export type WrittenFile = z.output<typeof schema>
/** The same, with the role of this node. */
export type ConfigFile = Omit<WrittenFile, 'role'> & { readonly role: z.output<typeof roleName> }
