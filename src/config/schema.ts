/**
 * The configuration file's shape: every parameter with its default, its unit
 * and a sentence. One source for the checks, the help and the manual page.
 */
import { z } from 'zod'
import { duration, share, size } from './units.js'

export const searches = ['virtual', 'canonical', 'transport', 'recipient', 'domain', 'access', 'exact'] as const

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

const database = z.strictObject({
  hosts: z.union([mysqlValue, z.array(z.string())]).optional()
    .describe('as in mysql_table(5): unix:PATH, HOST, HOST:PORT; several are fail-over'),
  user: mysqlValue.optional(),
  ...secret,
  dbname: mysqlValue.optional(),
  charset: mysqlValue.optional(),
  option_file: mysqlValue.optional(),
  option_group: mysqlValue.optional(),
  tls_cert_file: mysqlValue.optional(),
  tls_key_file: mysqlValue.optional(),
  tls_CAfile: mysqlValue.optional(),
  tls_CApath: mysqlValue.optional(),
  tls_ciphers: mysqlValue.optional(),
  tls_verify_cert: mysqlValue.optional(),
})

/** Parameters of a map that mysql_table(5) also has; the rest of a database's come from `databases`. */
const queryParameters = {
  query: mysqlValue.optional().describe('as in mysql_table(5): SELECT goto FROM alias WHERE address=\'%s\''),
  result_format: mysqlValue.optional(),
  domain: z.union([mysqlValue, z.array(z.string())]).optional().describe('only keys in these domains are asked'),
  expansion_limit: mysqlValue.optional().describe('more results than this are a temporary error; 0 is no limit'),
  require_result_set: mysqlValue.optional(),
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
  canary: text.optional().describe('a key that must always be found; while it is not, every map on its server counts as unavailable'),
})
export type MapConfig = z.output<typeof mapSchema>

export const schema = z.strictObject({
  role: z.enum(['primary', 'fallback']).default('primary')
    .describe('primary: what can\'t be known is deferred, always. fallback: the last MX, which may reject'),
  unknown: z.enum(['reject', 'defer']).default('reject')
    .describe('primary only: what the table itself says is absent; defer sends the client on to the next MX. Acts on search: recipient, and on maps that set it themselves'),
  outage: z.enum(['reject', 'defer']).optional()
    .describe('fallback only, default reject: what can\'t be known during an outage'),
  listen: z.array(listener).min(1, 'name at least one listener'),
  health: text.default('127.0.0.1:8025').describe('HOST:PORT or unix:PATH for the status page, /livez, /readyz and /metrics over HTTP, or `off`'),
  admin: text.default('off').describe('unix:PATH for `holdfast explain`, `trust` and `flush`, or `off`; whoever may write to the socket (root, the daemon\'s user and group) may use them'),
  deadline: duration.default(2_000).describe('no lookup takes longer'),
  soft_deadline: duration.default(300).describe('when a stale answer is at hand, the table gets this long'),
  recipient_delimiter: z.string().default('').describe('as in main.cf'),
  propagate_unmatched_extensions: z.array(z.string()).default(['canonical', 'virtual']).describe('as in main.cf'),
  parent_domain_matches_subdomains: z.array(z.string())
    .default(['debug_peer_list', 'fast_flush_domains', 'mynetworks', 'permit_mx_backup_networks', 'qmqpd_authorized_clients', 'relay_domains', 'smtpd_access_maps'])
    .describe('as in main.cf'),
  local_domains: z.array(z.string()).default([]).describe('myorigin and mydestination, as in main.cf: their users are also asked without the domain'),
  memory: z.strictObject({
    entries: z.int().min(1).default(200_000).describe('found answers kept for each map'),
    bytes: size.default(64 * 1_048_576).describe('memory for them, for each map'),
    absent_entries: z.int().min(1).default(20_000).describe('absent answers kept for each map'),
  }).prefault({}),
  redis: z.strictObject({
    host: text.optional(),
    port: z.int().min(1).max(65_535).optional(),
    path: text.optional().describe('unix socket, instead of host and port'),
    username: text.optional(),
    ...secret,
    db: z.int().min(0).optional(),
    key_prefix: z.string().default('holdfast:'),
    command_timeout: duration.default(100).describe('a slower Redis is left alone for a while'),
  }).optional(),
  snapshot: text.optional()
    .describe('a file that keeps what is known over a restart; default, without Redis: `snapshot` in the service\'s StateDirectory'),
  databases: z.record(z.string(), database).default({}),
  prepared_statements: z.boolean().default(true).describe('off for proxies that know none, such as ProxySQL and MaxScale: keys then go as hexadecimal literals'),
  connections: z.int().min(1).max(1_000).default(8).describe('MySQL connections for each server'),
  breaker: z.strictObject({
    failures: z.int().min(1).default(5).describe('so many lookups in 10 s before the share of failures counts'),
    reset: duration.default(5_000).describe('an open breaker lets one probe through after this'),
  }).prefault({}),
  max_lag: duration.optional().describe('a replica that is further behind, or has stopped, is not believed when it says absent; off unless set. The account needs REPLICATION CLIENT (MariaDB: SLAVE MONITOR)'),
  max_shrink: share.default(0.3).describe('more than this share of known keys gone: the table is not believed when it says absent. 100% switches the guard off'),
  shrink_window: duration.default(86_400_000).describe('keys count as known for so long after they were last found'),
  maps: z.record(z.string().regex(/^[^\s:]+$/, 'a map name holds no blank and no colon'), mapSchema),
  max_connections: z.int().min(1).default(4_000).describe('for each listener; more get a temporary error'),
  log: z.strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('keys of lookups are logged at debug only'),
    format: z.enum(['text', 'json']).default('text'),
  }).prefault({}),
})
export type ConfigFile = z.output<typeof schema>
