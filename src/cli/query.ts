/**
 * `holdfast query MAP KEY`: a socketmap client, as Postfix is one, against a
 * running daemon.
 */
import { connect } from 'node:net'
import { NetstringDecoder, encodeNetstring } from '../../proto/netstring.js'
import { endpointName } from '../config/endpoint.js'
import type { Endpoint } from '../config/endpoint.js'

/** sysexits(3): try again later. */
export const exitTempfail = 75

export type QueryResult = { readonly exitCode: 0 | 1 | typeof exitTempfail, readonly stdout: string, readonly stderr: string }

/** Postfix's own limit for a reply. */
const maxReplyBytes = 100_000

/** The payload of the daemon's reply, as a byte string. Rejects if there is none within `timeoutMs`. */
const ask = (address: Endpoint, map: string, key: string, timeoutMs: number): Promise<string> => new Promise((resolve, reject) => {
  const socket = connect(address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port })
  const decoder = new NetstringDecoder(maxReplyBytes)
  const fail = (why: string): void => {
    socket.destroy()
    reject(new Error(`${endpointName(address)}: ${why}`))
  }
  socket.setTimeout(timeoutMs, () => fail(`no reply within ${timeoutMs} ms`))
  socket.on('connect', () => socket.write(encodeNetstring(Buffer.from(`${map} ${key}`, 'utf8').toString('latin1')), 'latin1'))
  socket.on('error', error => fail(error.message))
  socket.on('close', () => fail('connection closed without a reply'))
  socket.on('data', chunk => {
    const error = decoder.push(chunk, (buffer, start, end) => {
      resolve(buffer.toString('latin1', start, end))
      socket.end()
    })
    if (error !== null) fail(`the reply is not a netstring (${error})`)
  })
})

/** What the daemon at `address` says of `key` in `map`: exit code 0 found, 1 absent, 75 unavailable. Never rejects. */
export const query = async (address: Endpoint, map: string, key: string, timeoutMs: number): Promise<QueryResult> => {
  let reply: string
  try {
    reply = await ask(address, map, key, timeoutMs)
  } catch (error) {
    return { exitCode: exitTempfail, stdout: '', stderr: `holdfast query: ${error instanceof Error ? error.message : 'failed'}\n` }
  }
  const space = reply.indexOf(' ')
  const word = space === -1 ? reply : reply.slice(0, space)
  const rest = Buffer.from(space === -1 ? '' : reply.slice(space + 1), 'latin1').toString('utf8')
  if (word === 'OK') return { exitCode: 0, stdout: `${rest}\n`, stderr: '' }
  if (word === 'NOTFOUND') return { exitCode: 1, stdout: '', stderr: '' }
  return { exitCode: exitTempfail, stdout: '', stderr: `holdfast query: ${word.toLowerCase()}: ${rest}\n` }
}
