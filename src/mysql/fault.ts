/**
 * What went wrong with a server or a query, classified once: whom to blame, whether to ask
 * again, and one line for the log. Nothing above this looks at a driver's error.
 *
 * The line has the server's own words while connecting, when there is no key yet; later only
 * for errors whose text is fixed, or names tables, columns and accounts: others can hold the
 * key or a piece of a row, and the line has their number and name.
 */
import { inWords } from '../log.js'
import { unavailable } from '../outcome.js'
import type { Reason, Unavailable } from '../outcome.js'

export type Fault = {
  readonly kind: 'fault'
  /** server: it would fail any question, so the breaker counts it. query: only this question fails. */
  readonly blame: 'server' | 'query'
  readonly reason: Reason
  readonly detail: string
  /** Whether to ask again at once: same: on any connection. new: on another one than those that stood. */
  readonly again: 'no' | 'same' | 'new'
  /** The connection's state is unknown: it must not be used any more. */
  readonly broken: boolean
}

/** connect: until the session is set up. query: from then on. */
export type Phase = 'connect' | 'query'

/** The fault as an answer. */
export const unavailableFor = (fault: Fault): Unavailable => unavailable(fault.reason, fault.detail)

/** The time for the connection or the query is over. */
export const timeoutFault = (phase: Phase): Fault => ({
  kind: 'fault', blame: 'server', reason: 'timeout', again: 'no', broken: true,
  detail: phase === 'connect' ? 'no connection in time' : 'no answer in time',
})

/** Only this question fails, and the connection can be used. */
const questionFault = (reason: Reason, detail: string): Fault =>
  ({ kind: 'fault', blame: 'query', reason, detail, again: 'no', broken: false })

/** Why a question gets no connection, or no answer on it, though the server has not failed. */
export const noConnection = {
  full: questionFault('overloaded', 'too many lookups wait for a connection'),
  busy: questionFault('overloaded', 'no free connection in time'),
  /** The server has let nobody in. */
  notYet: questionFault('timeout', 'no connection in time'),
  silent: questionFault('timeout', 'no answer in time'),
  /** Behind this address stand several servers, or another one than before. */
  elsewhere: questionFault('source-down', 'the address leads to another server now'),
  closing: questionFault('draining', 'stopping'),
  breakerOpen: (detail: string) => questionFault('breaker-open', detail),
} as const

/** The server sends more than makes sense for one key. */
export const tooLargeFault = (maxBytes: number): Fault => ({
  kind: 'fault', blame: 'query', reason: 'bad-value', again: 'no', broken: true,
  detail: `the result is larger than ${maxBytes} bytes`,
})

/** The statement did what no lookup may do. The connection can be used. */
export const queryFault = (detail: string): Fault => questionFault('query-error', detail)

/**
 * Errors that an established session gets, but that are about the server, not
 * the statement. (While connecting every error is about the server.)
 */
const serverErrors: ReadonlySet<number> = new Set([
  1037, // ER_OUTOFMEMORY
  1038, // ER_OUT_OF_SORTMEMORY
  1041, // ER_OUT_OF_RESOURCES
  1047, // ER_UNKNOWN_COM_ERROR: a Galera node that isn't ready
  3032, // ER_SERVER_OFFLINE_MODE
  3168, // ER_SERVER_ISNT_AVAILABLE
])

/** The server is well, and does not serve us: no outage, on which a fallback node might reject. */
const refusals: ReadonlySet<number> = new Set([
  1040, // ER_CON_COUNT_ERROR: also what a proxy says for its back end
  1203, // ER_TOO_MANY_USER_CONNECTIONS
  1226, // ER_USER_LIMIT_REACHED: so many queries an hour
  1820, // ER_MUST_CHANGE_PASSWORD
])

/** The server gave up the session; the next one may be well, at once if this one had been idle. */
const sessionLost: ReadonlySet<number> = new Set([
  1053, // ER_SERVER_SHUTDOWN
  1077, // ER_NORMAL_SHUTDOWN
  1079, // ER_SHUTDOWN_COMPLETE
  1080, // ER_FORCING_CLOSE
  1152, // ER_ABORTING_CONNECTION
  1156, // ER_NET_PACKETS_OUT_OF_ORDER
  1157, // ER_NET_UNCOMPRESS_ERROR
  1158, // ER_NET_READ_ERROR
  1159, // ER_NET_READ_INTERRUPTED
  1160, // ER_NET_ERROR_ON_WRITE
  1161, // ER_NET_WRITE_INTERRUPTED
  1184, // ER_NEW_ABORTING_CONNECTION
  1927, // ER_CONNECTION_KILLED (MariaDB)
  4031, // ER_CLIENT_INTERACTION_TIMEOUT (MySQL)
])

/** Our statement ran longer than the session's limit, or the server's own. */
const statementTimeouts: ReadonlySet<number> = new Set([
  1969, // ER_STATEMENT_TIMEOUT (MariaDB)
  3024, // ER_QUERY_TIMEOUT (MySQL)
])

/** Another statement was in the way; the server undid ours, or let it wait too long. */
const contention: ReadonlySet<number> = new Set([
  1205, // ER_LOCK_WAIT_TIMEOUT
  1213, // ER_LOCK_DEADLOCK
])

/** Errors whose text says more than their name and is safe: fixed, or which table, column, routine, account. */
const tellingErrors: ReadonlySet<number> = new Set([
  1044, 1045, 1047, 1049, 1054, 1109, 1115, 1129, 1130, 1142, 1143, 1146, 1194, 1203, 1226, 1227, 1305, 1356, 1370,
  1449, 1698, 1820, 1862, 1932, 3032, 3118, 3159, 3168, 4151,
])

/** Names that the driver doesn't know. */
const mariadbNames: ReadonlyMap<number, string> = new Map([
  [1927, 'ER_CONNECTION_KILLED'],
  [1969, 'ER_STATEMENT_TIMEOUT'],
])

const maxDetailLength = 250

/**
 * How a try to connect fails if the server is down. Any other way (a certificate, a name that can't be resolved, a
 * socket that isn't there for us, too many open files) may be this node's own trouble.
 */
const downCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'PROTOCOL_CONNECTION_LOST',
])

/** What is known of a thrown error. */
type Facts = { readonly errno: number | null, readonly code: string | null, readonly message: string }

const factsOf = (error: unknown): Facts => {
  if (!(error instanceof Error)) return { errno: null, code: null, message: '' }
  const { errno, code } = error as { errno?: unknown, code?: unknown }
  return {
    // Node's own errors have a negative one.
    errno: typeof errno === 'number' && errno > 0 ? errno : null,
    code: typeof code === 'string' ? code : null,
    message: error.message,
  }
}

const printable = (text: string): string => text.replaceAll(/[^\x20-\x7e]+/g, ' ').trim().slice(0, maxDetailLength)

const serverErrorText = (errno: number, { code, message }: Facts, phase: Phase): string => {
  // What MariaDB says of a view or procedure to an account that may not know whose it is.
  if (phase !== 'connect' && errno === 1045) {
    return printable(`error ${errno}: ${message}; the definer of the view or procedure may be missing`)
  }
  if (phase === 'connect' || tellingErrors.has(errno)) return printable(`error ${errno}: ${message}`)
  const name = mariadbNames.get(errno) ?? (code?.startsWith('ER_') === true ? code : '')
  return printable(`error ${errno} ${name}`)
}

/** Errors of the driver and of Node. */
const clientErrorText = ({ code, message }: Facts, phase: Phase): string => {
  switch (code) {
    case null: return 'the reply is not what the protocol allows'
    case 'PROTOCOL_CONNECTION_LOST': return 'connection lost'
    case 'HANDSHAKE_NO_SSL_SUPPORT': return 'the server offers no TLS'
    case 'AUTH_SWITCH_PLUGIN_ERROR': {
      const plugin = /unknown plugin ([\w-]+)/.exec(message)?.[1]
      if (plugin === undefined) return 'log-in failed in the authentication plug-in'
      return `the account needs the authentication plug-in ${plugin}, which is not supported; give it, or an account `
        + 'of Holdfast\'s own, mysql_native_password or caching_sha2_password'
    }
    case 'MYSQL_CLEAR_PASSWORD_NOT_ENABLED': return 'the server wants the password in clear text, which is refused'
    default:
      return phase === 'connect' && code === 'HANDSHAKE_SSL_ERROR' ? printable(`TLS: ${message}`)
        : printable(inWords(code))
  }
}

/** Classifies what the driver reported in this phase of a connection's life. */
export const faultOf = (error: unknown, phase: Phase): Fault => {
  const facts = factsOf(error)
  const { errno } = facts
  const server = { kind: 'fault', blame: 'server', reason: 'source-down' } as const
  if (errno === null) {
    const isDown = phase === 'query' || downCodes.has(facts.code ?? '')
    const reason = isDown ? 'source-down' : 'source-refused'
    return { ...server, reason, detail: clientErrorText(facts, phase), again: 'new', broken: true }
  }
  const detail = serverErrorText(errno, facts, phase)
  const refused = { ...server, reason: 'source-refused', detail, again: 'no', broken: true } as const
  if (phase === 'connect' || refusals.has(errno)) return refused
  if (sessionLost.has(errno)) return { ...server, detail, again: 'new', broken: true }
  // 2000 to 2999 are a client library's own errors, 9000 and up a SQL proxy's: both about a back end.
  if (serverErrors.has(errno) || (errno >= 2000 && errno <= 2999) || errno >= 9000) {
    return { ...server, detail, again: 'no', broken: true }
  }
  const query = { kind: 'fault', blame: 'query', reason: 'query-error', detail } as const
  // The server answers: it is the statement that is slow, or a table that is locked.
  if (statementTimeouts.has(errno)) return { ...query, reason: 'timeout', again: 'no', broken: false }
  if (contention.has(errno)) return { ...query, again: 'same', broken: false }
  // ER_NET_PACKET_TOO_LARGE: the server hangs up after saying so.
  return { ...query, again: 'no', broken: errno === 1153 }
}

export const connectionLost: Fault = faultOf(Object.assign(new Error(), { code: 'PROTOCOL_CONNECTION_LOST' }), 'query')
/** The driver gave something that isn't a result. */
export const strangeReply: Fault = faultOf(null, 'query')
