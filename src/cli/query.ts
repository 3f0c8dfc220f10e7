/** `holdfast query`: asks the running daemon by socketmap, as Postfix does. */
import { connect } from 'node:net'
import { NetstringDecoder, encodeNetstring } from '../../proto/netstring.js'
import { maxReplyBytes } from '../../proto/socketmap.js'
import { endpointName } from '../config/endpoint.js'
import { messageOf } from '../log.js'
import { byteString, readable } from '../outcome.js'
import type { ByteString } from '../outcome.js'
import { socketmapAt, unreachable } from './daemon_at.js'
import type { DaemonAddress, DaemonOptions } from './daemon_at.js'
import { Failure, exitTempfail, exitUsage } from './terminal.js'

export type QueryOptions = DaemonOptions & { readonly timeout: string }

/** What the daemon answers to a client; `text` says why it can't. */
export type DaemonAnswer =
  | { readonly kind: 'found', readonly value: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unavailable', readonly text: string }

/** Sends `request` (bytes) in a netstring; resolves with the payload of the reply. Rejects if there is none in time. */
const ask = (address: DaemonAddress, request: string, timeoutMs: number) => new Promise<string>((resolve, reject) => {
  const socket = connect(address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port })
  const decoder = new NetstringDecoder(maxReplyBytes)
  const fail = (why: string): void => {
    socket.destroy()
    reject(new Error(`${endpointName(address)}: ${why}`))
  }
  socket.setTimeout(timeoutMs, () => fail(`no reply within ${timeoutMs / 1_000} s`))
  socket.on('connect', () => socket.write(encodeNetstring(request), 'latin1'))
  socket.on('error', error => reject(new Error(unreachable(address, error))))
  socket.on('close', () => fail('the connection was closed without a reply; is it a socketmap listener of Holdfast?'))
  socket.on('data', chunk => {
    const error = decoder.push(chunk, (buffer, start, end) => {
      resolve(buffer.toString('latin1', start, end))
      socket.end()
    })
    if (error !== null) fail(`the reply is not a netstring (${error}); is it a socketmap listener of Holdfast?`)
  })
})

/** Asks the daemon at `address` for `key` in `map`. Resolves within `timeoutMs`; rejects never. */
export const askDaemon = async (
  address: DaemonAddress, map: string, key: string, timeoutMs: number,
): Promise<DaemonAnswer> => {
  let reply: string
  try {
    reply = await ask(address, byteString(`${map} ${key}`), timeoutMs)
  } catch (error) {
    return { kind: 'unavailable', text: messageOf(error) }
  }
  const [word = '', ...rest] = readable(reply as ByteString).split(' ')
  const text = rest.join(' ')
  switch (word) {
    case 'OK': return { kind: 'found', value: text }
    case 'NOTFOUND': return { kind: 'absent' }
    default: return { kind: 'unavailable', text: `${word.toLowerCase()}: ${text}` }
  }
}

/** Prints the value of a key. Exit code: 0 found, 1 absent. Throws Failure: 75 unavailable. */
export const query = async (
  map: string, key: string, options: QueryOptions, process: NodeJS.Process,
): Promise<number> => {
  const seconds = Number(options.timeout)
  if (!(seconds > 0)) {
    throw new Failure(exitUsage, `--timeout: '${options.timeout}' is not a time; write a number of seconds above 0`)
  }
  const answer = await askDaemon(await socketmapAt(options, process), map, key, seconds * 1_000)
  switch (answer.kind) {
    case 'found':
      process.stdout.write(`${answer.value}\n`)
      return 0
    case 'absent': return 1
    case 'unavailable': throw new Failure(exitTempfail, answer.text)
    default: return answer satisfies never
  }
}
