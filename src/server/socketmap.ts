/** The socketmap dialect: socketmap_table(5), netstrings of `MAP KEY`, replies OK, NOTFOUND and TEMP. */
import { NetstringDecoder } from '../../proto/netstring.js'
import type { NetstringError } from '../../proto/netstring.js'
import {
  fits, maxReplyBytes, notFoundReply, okReply, parseRequest, permReply, tempReply,
} from '../../proto/socketmap.js'
import { FramedRequests, replyBy } from './dialect.js'
import type { Dialect, ProtocolFault, Request } from './dialect.js'

/** Postfix 3.12 limits the key to 10,000 bytes by default; older releases have no limit. */
const maxRequestBytes = 16_384

const noMapName: ProtocolFault = {
  kind: 'fault', problem: 'a request without a map name',
  reply: permReply('malformed request: no space between map and key'),
}

const tooLong: ProtocolFault = {
  kind: 'fault', problem: `a request of more than ${maxRequestBytes} bytes`, reply: permReply('request too long'),
}

const faultOf = (error: NetstringError): ProtocolFault => {
  switch (error) {
    // The length could be read, so the client still knows where a reply begins.
    case 'too-long': return tooLong
    case 'bad-length': case 'missing-comma':
      return { kind: 'fault', problem: `not a netstring (${error})`, reply: null }
    default: return error satisfies never
  }
}

const requestOf = (buffer: Buffer, start: number, end: number): Request => {
  const request = parseRequest(buffer, start, end)
  if (request === 'no-space') return noMapName
  return { kind: 'lookup', map: request.map, key: request.key }
}

export const socketmap: Dialect = {
  protocol: 'socketmap',
  createDecoder: () => new FramedRequests(new NetstringDecoder(maxRequestBytes), requestOf, faultOf),
  fits,
  // With its netstring's length, colon and comma.
  maxReplyBytes: maxReplyBytes + `${maxReplyBytes}:,`.length,
  reply: replyBy({ found: okReply, absent: notFoundReply, temporary: tempReply }),
  limits: `the value is empty, has a NUL, or is over ${maxReplyBytes} bytes`,
}
