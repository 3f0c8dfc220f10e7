/** Asks the running daemon by HTTP. */
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import type { Endpoint } from '../config/endpoint.js'
import { messageOf } from '../log.js'
import { Failure, exitTempfail } from './exit.js'

type Body = Readonly<Record<string, unknown>>

const timeoutMs = 15_000

/** Resolves with the reply when its head has come. Rejects with the system's error, or a sentence after a timeout. */
const send = (address: Endpoint, path: string, body?: Body) => new Promise<IncomingMessage>((resolve, reject) => {
  const sent = request({
    ...address.kind === 'unix' ? { socketPath: address.path } : { host: address.host, port: address.port },
    path, method: body === undefined ? 'GET' : 'POST', timeout: timeoutMs,
    ...body === undefined ? {} : { headers: { 'content-type': 'application/json' } },
  }, resolve)
  sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)))
  sent.on('error', reject)
  sent.end(body === undefined ? undefined : JSON.stringify(body))
})

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('what answers there is not holdfast')
  }
}

/** The whole reply as data. Rejects with a sentence for people if it is an error. */
const whole = async (reply: IncomingMessage): Promise<unknown> => {
  let text = ''
  for await (const chunk of reply.setEncoding('utf8')) text += String(chunk)
  const value = parsed(text)
  if (reply.statusCode === 200) return value
  const hasReason = typeof value === 'object' && value !== null && 'error' in value
  throw new Error(hasReason ? String(value.error) : `it answers ${reply.statusCode ?? ''}`)
}

const failed = (error: unknown): Failure => new Failure(exitTempfail, messageOf(error), { cause: error })

/** The daemon's reply as data. Throws Failure (75, caused by the system's error) if there is none or it is an error. */
export const call = async (address: Endpoint, path: string, body?: Body): Promise<unknown> => {
  try {
    return await whole(await send(address, path, body))
  } catch (error) {
    throw failed(error)
  }
}

/** Sends the daemon a command; gives what it did, as a line. Throws as `call` does. */
export const command = async (address: Endpoint, path: string, body: Body): Promise<string> => {
  const reply = await call(address, path, body)
  return typeof reply === 'object' && reply !== null && 'done' in reply ? `${String(reply.done)}\n` : ''
}

/** The lines of the reply, as data, as they come. Throws as `call` does. */
export const callLines = async (address: Endpoint, path: string, body: Body): Promise<AsyncIterable<unknown>> => {
  const reply = await send(address, path, body).catch((error: unknown) => { throw failed(error) })
  if (reply.statusCode !== 200) await whole(reply).catch((error: unknown) => { throw failed(error) })
  return (async function* () {
    for await (const line of createInterface(reply)) yield parsed(line)
  })()
}
