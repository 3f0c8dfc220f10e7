/** The tcp_table dialect: tcp_table(5), lines of `get KEY`, replies 200, 500 (absent) and 400 (try again). */
import {
  LineDecoder, fits, maxLineBytes, notFoundReply, okReply, parseRequest, putReply, tempReply,
} from '../../proto/tcp_table.js'
import type { Outcome } from '../outcome.js'
import { FramedRequests } from './framed_requests.js'
import type { Dialect, ProtocolFault, Request } from './dialect.js'

const tooLong: ProtocolFault = {
  kind: 'fault', problem: `a request line of more than ${maxLineBytes} bytes`, reply: tempReply('request too long'),
}

const requestOf = (buffer: Buffer, start: number, end: number): Request => {
  const request = parseRequest(buffer, start, end)
  if (request === 'not-utf8') return { kind: 'lookup', map: null, key: null }
  if (typeof request === 'string') {
    return { kind: 'fault', problem: `not a tcp_table request (${request})`, reply: tempReply('malformed request') }
  }
  if (request.kind === 'put') return { kind: 'answered', reply: putReply }
  return { kind: 'lookup', map: null, key: request.key }
}

const reply = (outcome: Outcome): string => {
  switch (outcome.kind) {
    case 'found': return okReply(outcome.value)
    case 'absent': return notFoundReply
    case 'unavailable': return tempReply(`${outcome.reason}: ${outcome.detail}`)
    default: return outcome satisfies never
  }
}

export const tcpTable: Dialect = {
  protocol: 'tcp_table',
  createDecoder: () => new FramedRequests(new LineDecoder(maxLineBytes), requestOf, () => tooLong),
  fits, reply,
  limits: `result too long: the reply would be over ${maxLineBytes} bytes`,
}
