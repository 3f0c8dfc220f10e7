/**
 * A worker: a process that answers clients which its daemon accepted and hands
 * over. Arguments: the configuration file, its number from 0 on, of how many.
 * It ends when the daemon asks it to, or is gone.
 */
import { Socket } from 'node:net'
import { readConfigured } from '../daemon/read_configuration.js'
import type { Configured } from '../daemon/read_configuration.js'
import type { TableRow } from '../admin/actions.js'
import { limitRepeats, messageOf } from '../log.js'
import type { Log } from '../log.js'
import { belongToDaemon } from '../runtime/own_process.js'
import { startServing } from '../daemon/serving.js'
import type { Calls, FromWorker, LogLevel, ToWorker } from './messages.js'

/** sysexits(3). */
const exitConfig = 78

const [fileName = '', index = '0', of = '1'] = process.argv.slice(2)
const send = (message: FromWorker): void => {
  // What can't be said any more: the daemon is gone, and so are we in a moment.
  if (process.connected) process.send?.(message)
}

belongToDaemon()

let isDebug = false
const telling = (level: LogLevel): Log['info'] => (text, fields = {}) => send({ kind: 'log', level, text, fields })
const mayRepeat = limitRepeats(Date.now)
const debug = telling('debug')
const log: Log = {
  get isDebug() {
    return isDebug
  },
  debug: (text, fields) => {
    if (isDebug) debug(text, fields)
  },
  info: telling('info'), warn: telling('warn'), error: telling('error'),
  repeated: (kind, text, fields = {}) => {
    const left = mayRepeat(kind)
    if (left !== null) send({ kind: 'repeated', of: kind, text, fields: left === 0 ? fields : { ...fields, repeated: left } })
  },
}

const read = async (): Promise<Configured | null> => {
  const configured = await readConfigured(fileName, process.env, log)
  if (configured !== null) isDebug = configured.config.file.log.level === 'debug'
  return configured
}

/** What was read last. Clients wait for it: of a listener that is new, they may come before it is known. */
let reading = read()
const first = await reading
if (first === null) process.exit(exitConfig)
const answering = await startServing(first.config, first.sources, log, { index: Number(index), of: Number(of) })

const streams = new Map<number, AsyncGenerator<readonly TableRow[], string | null>>()
let streamCount = 0

const calls: Calls = {
  share: async () => {
    const [share] = await answering.shares()
    if (share === undefined) throw new Error('no share')
    return share
  },
  explain: (address, map) => answering.explain(address, map),
  trust: map => answering.trust(map),
  flush: (map, key) => answering.flush(map, key),
  warm: map => answering.warm(map),
  rows: async map => {
    const rows = await answering.rows(map)
    if (typeof rows === 'string') return rows
    streamCount++
    streams.set(streamCount, rows)
    return streamCount
  },
  more: async stream => {
    const next = await streams.get(stream)?.next() ?? { done: true, value: 'the stream is over' }
    if (next.done === true) streams.delete(stream)
    return next
  },
  take: (map, rows, madeAt) => answering.take(map, rows, madeAt),
  reload: async () => {
    reading = read()
    const next = await reading
    if (next === null) return false
    await answering.reload(next.config, next.sources)
    return true
  },
  close: how => answering.close(how),
}

const run = async ({ id, name, args }: Extract<ToWorker, { kind: 'call' }>): Promise<void> => {
  try {
    const call = calls[name] as (...args: readonly unknown[]) => Promise<unknown>
    send({ kind: 'result', id, value: await call(...args) })
  } catch (error) {
    send({ kind: 'failure', id, message: messageOf(error) })
  }
}

process.on('message', (message: ToWorker, handle: unknown) => {
  if (message.kind === 'call') {
    void run(message)
    return
  }
  send({ kind: 'took', id: message.id })
  // A client that left on its way to us comes as nothing.
  if (!(handle instanceof Socket)) return
  handle.allowHalfOpen = true
  void reading.then(() => answering.accept(message.listener, handle))
})
send({ kind: 'ready' })
