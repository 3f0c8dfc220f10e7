/** The tcp_table dialect: tcp_table(5), lines of `get KEY`, replies 200, 500 (absent) and 400 (try again). */
import {
  LineDecoder, fits, maxLineBytes, maxRequestBytes, notFoundReply, okReply, parseRequest, putReply, tempReply,
} from '../../proto/tcp_table.js'
import { FramedRequests, replyBy } from './dialect.js'
import type { Dialect, ProtocolFault, Request } from './dialect.js'

const tooLong: ProtocolFault = {
  kind: 'fault', problem: `a request line of more than ${maxRequestBytes} bytes`, reply: tempReply('request too long'),
}

const requestOf = (buffer: Buffer, start: number, end: number): Request => {
  const request = parseRequest(buffer, start, end)
  if (typeof request === 'string') {
    return { kind: 'fault', problem: `not a tcp_table request (${request})`, reply: tempReply('malformed request') }
  }
  if (request.kind === 'put') return { kind: 'answered', reply: putReply }
  return { kind: 'lookup', map: null, key: request.key }
}

export const tcpTable: Dialect = {
  protocol: 'tcp_table',
  createDecoder: () => new FramedRequests(new LineDecoder(maxRequestBytes), requestOf, () => tooLong),
  fits,
  maxReplyBytes: maxLineBytes,
  reply: replyBy({ found: okReply, absent: notFoundReply, temporary: tempReply }),
  limits: `result too long: the reply would be over ${maxLineBytes} bytes`,
}
