/** Opens connections: the socket, the driver, the log-in, and the session's settings. */
import { Socket } from 'node:net'
import type Driver from 'mysql2'
import { Connection } from './connection.js'
import { Dialer } from './dial.js'
import { faultOf, timeoutFault } from './fault.js'
import type { Fault } from './fault.js'
import type { Host } from './hosts.js'
import { verifyName } from './tls.js'
import type { ReadTls } from './tls.js'

/** Where to connect, and as whom. */
export type Target = {
  readonly host: Host
  readonly user: string
  readonly password: string
  readonly dbname: string
  /** The name of a character set, letters and digits only. */
  readonly charset: string
  readonly ssl: ReadTls | null
  /** The server itself ends each statement after this (ms); 0: never. */
  readonly limitMs: number
}

/** What the driver would ask for by default. IGNORE_SPACE makes columns that are named like functions an error. */
const unwantedFlags = [
  '-LOCAL_FILES', '-IGNORE_SPACE', '-ODBC', '-FOUND_ROWS', '-SESSION_TRACK', '-CLIENT_QUERY_ATTRIBUTES',
]

let driver: typeof Driver | null = null

/** Loads the driver's code, for which a node without MySQL need not wait. No connection waits for it again. */
export const loadDriver = async (): Promise<typeof Driver> => driver ??= (await import('mysql2')).default

/** Connects, logs in and sets up the session within `timeoutMs`, unless `signal` ends it. */
export const openConnection = async (
  target: Target, timeoutMs: number,
  { dialer = new Dialer(target.host), signal }: { readonly dialer?: Dialer, readonly signal?: AbortSignal } = {},
): Promise<Connection | Fault> => {
  // Not AbortSignal.any with AbortSignal.timeout: Node's garbage collection may take the time-out away (nodejs/node
  // 57736), and the handshake with a server that hangs would never end.
  const patience = new AbortController()
  const giveUp = (): void => patience.abort()
  // After this process was held up, what there is to read is read first.
  const timer = setTimeout(() => setImmediate(giveUp), timeoutMs)
  signal?.addEventListener('abort', giveUp)
  if (signal?.aborted === true) giveUp()
  try {
    const socket = await dialer.dial(patience.signal)
    return socket instanceof Socket ? await logIn(socket, target, timeoutMs, patience.signal) : socket
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', giveUp)
  }
}

const logIn = async (
  socket: Socket, target: Target, timeoutMs: number, patience: AbortSignal,
): Promise<Connection | Fault> => {
  const { createConnection } = await loadDriver()
  const { host, ssl } = target
  const driver = createConnection({
    stream: () => socket,
    ...host.kind === 'unix' ? { socketPath: host.path } : { host: host.host },
    user: target.user, password: target.password, database: target.dbname,
    // Keys are UTF-8, whatever the session's character set says: as with Postfix's own client.
    charset: 'utf8mb4_general_ci',
    // A copy, for the driver resumes TLS sessions of one such object: those have no certificate to judge.
    ...ssl === null ? {} : { ssl: { ...ssl } },
    connectTimeout: 0,
    // Each column as the bytes that the server sent.
    rowsAsArray: true, typeCast: false,
    // Nothing is prepared, and for what might be the driver sets half a megabyte aside.
    maxPreparedStatements: 1,
    flags: unwantedFlags,
    connectAttributes: { program_name: 'holdfast' },
  })
  if (ssl?.verifyName === true && host.kind === 'inet') verifyName(driver, host.host)
  return new Promise(resolve => {
    let isSettled = false
    const settle = (opened: Connection | Fault): void => {
      if (isSettled) return
      isSettled = true
      patience.removeEventListener('abort', onAbort)
      if (!(opened instanceof Connection)) {
        driver.destroy()
        socket.destroy()
      }
      resolve(opened)
    }
    const onAbort = (): void => settle(timeoutFault('connect'))
    patience.addEventListener('abort', onAbort)
    if (patience.aborted) onAbort()
    // Stays for good: an error event without a listener would end the process.
    driver.on('error', (error: unknown) => settle(withRemedy(faultOf(error, 'connect'), target)))
    driver.once('connect', () => {
      const connection = new Connection(driver, target.charset)
      void connection.setUp(target.limitMs, timeoutMs)
        .then(fault => settle(fault === null ? connection : withoutSession(fault)))
    })
  })
}

/** A connection without its session is of no use, whatever the fault was. */
const withoutSession = (fault: Fault): Fault => ({
  ...fault, blame: 'server', reason: fault.reason === 'source-refused' ? fault.reason : 'source-down',
  broken: true, again: 'no',
})

/** Adds what to look at after a refused log-in. To an account that needs TLS servers only say "access denied". */
const withRemedy = (fault: Fault, { ssl, host }: Target): Fault => {
  const [, code] = /^error (1045|1698|3159)\b/.exec(fault.detail) ?? []
  if (code === undefined) return fault
  const account = code === '3159' ? '' : '; check user and password'
  const tls = ssl === null && host.kind === 'inet' ? '; if the account needs TLS, set tls_CAfile' : ''
  return { ...fault, detail: `${fault.detail}${account}${tls}` }
}
