/**
 * The configuration file's shape: every parameter with its default, its unit
 * and a sentence. One source for the checks, the JSON Schema and holdfast.yaml(5).
 * Defaults of durations and sizes are in their text form (`prefault`), as users write them.
 */
import * as z from 'zod'
import { searches } from '../postfix/parameters.js'
import { duration, share, size } from './units.js'

const text = z.string().min(1)
const secret = {
  password: z.string().optional().describe('the password itself; better kept out of this file'),
  password_file: text.optional().describe('a file whose first line is the password'),
  password_env: text.optional().describe('an environment variable that holds the password'),
}
const mysqlValue = z.union([z.string(), z.number(), z.boolean()])

const modeHelp = 'write the mode in octal and in quotes, such as "0660"'
const listener = z.strictObject({
  socketmap: text.optional().describe('unix:PATH or inet:HOST:PORT; asked as socketmap:unix:PATH:MAP'),
  tcp: text.optional().describe('HOST:PORT for one map; asked as tcp:HOST:PORT'),
  map: text.optional().describe('with tcp: the map that is asked there; the protocol has no map names'),
  mode: z.string(modeHelp).regex(/^0?[0-7]{3}$/, modeHelp).optional()
    .describe('with unix: the permissions of the socket, in force before the first connection'),
  allow: z.array(text).min(1).optional().describe('with TCP: the networks that may connect besides this machine; required where others can reach it'),
  group: z.union([text, z.int().min(0)]).optional().describe('with unix: the group of the socket, a name or a number'),
})

export type ListenerSection = z.output<typeof listener>

const database = z.strictObject({
  hosts: z.union([mysqlValue, z.array(z.string())]).optional()
    .describe('as in mysql_table(5): unix:PATH, HOST, HOST:PORT; several are fail-over'),
  user: mysqlValue.optional().describe('the account; it needs SELECT on the tables, no more'),
  ...secret,
  dbname: mysqlValue.optional().describe('the name of the database'),
  charset: mysqlValue.optional().describe('the character set of the connection, as in mysql_table(5); default utf8mb4'),
  option_file: mysqlValue.optional().describe('a MySQL option file (my.cnf) to read as well'),
  option_group: mysqlValue.optional().describe('its group to read; default client'),
  tls_cert_file: mysqlValue.optional().describe('the client\'s certificate, PEM'),
  tls_key_file: mysqlValue.optional().describe('its private key, PEM'),
  tls_CAfile: mysqlValue.optional().describe('certificates of the authorities that may sign the server\'s, PEM'),
  tls_CApath: mysqlValue.optional().describe('a folder of such certificates'),
  tls_ciphers: mysqlValue.optional().describe('the ciphers to offer, as OpenSSL names them'),
  tls_verify_cert: mysqlValue.optional().describe('yes: the server\'s certificate must be for the host that was asked'),
})

/** Parameters of a map that mysql_table(5) also has; the rest of a database's come from `databases`. */
const queryParameters = {
  query: mysqlValue.optional().describe('as in mysql_table(5): SELECT goto FROM alias WHERE address=\'%s\''),
  result_format: mysqlValue.optional().describe('as in mysql_table(5); default %s'),
  domain: z.union([mysqlValue, z.array(z.string())]).optional().describe('only keys in these domains are asked'),
  expansion_limit: mysqlValue.optional().describe('more results than this are a temporary error; 0 is no limit'),
  require_result_set: mysqlValue.optional().describe('yes: a statement without a result set is an error, not absent; default yes'),
}

const mapSchema = z.strictObject({
  search: z.enum(searches).describe('the steps that Postfix would do on a mysql: table of this purpose'),
  cf: z.union([text, z.array(text).min(1)]).optional().describe('a mysql_table(5) file, as it stands; a list is asked in its order, as Postfix asks the tables of one parameter'),
  text: text.optional().describe('a Postfix text table (the source form of texthash:)'),
  database: text.optional().describe('a name under `databases`; goes with `query`'),
  ...queryParameters,
  fresh_for: duration.optional().describe('how long a found answer is good without asking again; default 5m'),
  stale_for: duration.optional().describe('how long after its verification a found answer may bridge an outage; default 7d, 0 for a sensitive map'),
  absent_for: duration.optional().describe('how long an absent answer is good; default 30s, 5s for domain and transport'),
  sensitive: z.boolean().default(false).describe('grants rights or holds secrets: never in Redis, not served stale unless stale_for says so'),
  unknown: z.enum(['reject', 'defer']).optional().describe('overrides the node\'s `unknown` for this map'),
  max_shrink: share.optional().describe('overrides `max_shrink` for this map'),
  changes: text.optional().describe('a query that lists the keys changed since a time: SELECT address FROM alias WHERE modified >= \'%s\'; they are asked anew, so that edits show within seconds'),
  warm: text.optional().describe('loads the whole table into the caches ahead of demand: `auto`, where the query is plain enough for a list of its keys, or a query that gives keys and answers: SELECT address, goto FROM alias WHERE active=1'),
  canary: text.optional().describe('a key that must always be found; while it is not, every map on its server counts as unavailable'),
})
export type MapSection = z.output<typeof mapSchema>

export const schema = z.strictObject({
  role: z.enum(['primary', 'fallback']).default('primary')
    .describe('primary: what can\'t be known is deferred, always. fallback: the last MX, which may reject'),
  unknown: z.enum(['reject', 'defer']).default('reject')
    .describe('primary only: what the table itself says is absent; defer sends the client on to the next MX. Acts on search: recipient, and on maps that set it themselves'),
  outage: z.enum(['reject', 'defer']).optional()
    .describe('fallback only, default reject: what can\'t be known during an outage'),
  listen: z.array(listener).min(1, 'name at least one listener').describe('where Postfix asks'),
  health: text.default('127.0.0.1:8025').describe('HOST:PORT or unix:PATH (which every account may ask) for the status page, /livez, /readyz and /metrics over HTTP, or `off`'),
  admin: text.default('off').describe('unix:PATH for `holdfast explain`, `trust`, `flush`, `warm`, `export` and `import`, or `off`; whoever may write to the socket (root, the daemon\'s user and group) may use them'),
  admin_token: text.optional().describe('lets who has it POST /flush, /trust and /warm where `health` is, as `Authorization: Bearer TOKEN`; better kept out of this file'),
  admin_token_file: text.optional().describe('a file whose first line is that token'),
  admin_token_env: text.optional().describe('an environment variable that holds it'),
  deadline: duration.prefault('2s').describe('no lookup takes longer; 10ms to 50s'),
  soft_deadline: duration.prefault('300ms').describe('when a stale answer is at hand, the table gets this long'),
  recipient_delimiter: z.string().default('').describe('as in main.cf'),
  propagate_unmatched_extensions: z.array(z.string()).default(['canonical', 'virtual']).describe('as in main.cf'),
  parent_domain_matches_subdomains: z.array(z.string())
    .default(['debug_peer_list', 'fast_flush_domains', 'mynetworks', 'permit_mx_backup_networks', 'qmqpd_authorized_clients', 'relay_domains', 'smtpd_access_maps'])
    .describe('as in main.cf'),
  local_domains: z.array(z.string()).default([]).describe('myorigin and mydestination, as in main.cf: their users are also asked without the domain'),
  memory: z.strictObject({
    entries: z.int().min(1).default(200_000).describe('found answers kept for each map'),
    bytes: size.prefault('64M').describe('memory for them, for each map'),
    absent_entries: z.int().min(1).default(20_000).describe('absent answers kept for each map'),
  }).prefault({}).describe('the cache in this process'),
  redis: z.strictObject({
    host: text.optional().describe('its host; default 127.0.0.1'),
    port: z.int().min(1).max(65_535).optional().describe('its port; default 6379'),
    path: text.optional().describe('unix socket, instead of host and port'),
    sentinels: z.array(text).min(1, 'name at least one Sentinel').optional().describe('HOST:PORT of each Sentinel, instead of host and port; port 26379 unless named'),
    master: text.optional().describe('with sentinels: the name of the primary that they watch'),
    sentinel_username: text.optional().describe('with sentinels: an ACL user of theirs'),
    sentinel_password: z.string().optional().describe('with sentinels: their password, if they have one; better kept out of this file'),
    sentinel_password_file: text.optional().describe('a file whose first line is that password'),
    sentinel_password_env: text.optional().describe('an environment variable that holds it'),
    cluster: z.array(text).min(1, 'name at least one node').optional().describe('HOST:PORT of some nodes of a Redis Cluster, instead of host and port; they tell of the others'),
    tls: z.boolean().optional().describe('true: speak TLS, to Sentinels too; the other tls parameters imply it'),
    tls_CAfile: text.optional().describe('certificates of the authorities that may sign the server\'s, PEM; default: those of Node.js'),
    tls_cert_file: text.optional().describe('the client\'s certificate, PEM'),
    tls_key_file: text.optional().describe('its private key, PEM'),
    tls_verify_cert: z.boolean().optional().describe('whether the server\'s certificate must be good and for the host that was asked; default true'),
    username: text.optional().describe('an ACL user; default: Redis\' own default user'),
    ...secret,
    db: z.int().min(0).optional().describe('the number of the database; default 0'),
    key_prefix: z.string().default('holdfast:').describe('what each key begins with; nodes that share what they know have the same'),
    command_timeout: duration.prefault('100ms').describe('a slower Redis is left alone for a while'),
  }).optional().describe('a Redis (or Valkey) that nodes share; none unless set'),
  snapshot: text.optional()
    .describe('a file that keeps what is known over a restart; default, without Redis: `snapshot` in the service\'s StateDirectory'),
  databases: z.record(z.string(), database).default({}).describe('servers for maps with `query`: a name of your choice, and the parameters as in mysql_table(5)'),
  connections: z.int().min(1).max(1_000).default(8).describe('MySQL connections for each server'),
  breaker: z.strictObject({
    failures: z.int().min(1).default(5).describe('so many lookups in 10 s before the share of failures counts'),
    reset: duration.prefault('5s').describe('an open breaker lets one probe through after this'),
  }).prefault({}).describe('when a MySQL server that fails is left alone'),
  max_lag: duration.optional().describe('a replica that is further behind, or has stopped, is not believed when it says absent; off unless set. The account needs REPLICATION CLIENT (MariaDB: SLAVE MONITOR)'),
  remember_for: duration.prefault('30d').describe('keys that were asked for in this time are verified again in the background, so that stale_for counts from a recent check; 0 for never'),
  changes_every: duration.prefault('5s').describe('how often the `changes` of the maps are asked'),
  warm_every: duration.prefault('6h').describe('how often the maps with `warm` are loaded again, by one of the nodes that share a Redis; at least 1m'),
  max_shrink: share.prefault('30%').describe('more than this share of known keys gone: the table is not believed when it says absent. 100% switches the guard off'),
  shrink_window: duration.prefault('1d').describe('keys count as known for so long after they were last found'),
  maps: z.record(z.string().regex(/^[^\s:]+$/, 'a map name holds no blank and no colon'), mapSchema).describe('the tables that Postfix asks for, by name'),
  max_connections: z.int().min(1).default(4_000).describe('for each listener; more get a temporary error'),
  log: z.strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('keys of lookups are logged at debug only'),
    format: z.enum(['text', 'json']).default('text').describe('json: one object a line, for collectors'),
  }).prefault({}).describe('the log, on standard error'),
})
export type ConfigFile = z.output<typeof schema>
