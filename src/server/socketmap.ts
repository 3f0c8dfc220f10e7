/** The socketmap dialect: socketmap_table(5), netstrings of `MAP KEY`, replies OK, NOTFOUND and TEMP. */
import { NetstringDecoder } from '../../proto/netstring.js'
import { fits, maxReplyBytes, notFoundReply, okReply, parseRequest, permReply, tempReply } from '../../proto/socketmap.js'
import { replyIn, sharedDecoders } from './dialect.js'
import type { Dialect, Fault, RequestDecoder, Requests } from './dialect.js'

/** Postfix 3.12 limits the query to 10,000 bytes by default, before the map name; older ones have no limit. */
const maxRequestBytes = 16_384

const createDecoder = (): RequestDecoder => {
  const netstrings = new NetstringDecoder(maxRequestBytes)
  // Set for the time of one push, so that no function has to be made for each chunk.
  let sink: Requests | null = null
  let malformed = false
  /** Of whoever asked last: most nodes have few maps, and most programs of Postfix one or two. */
  let lastMap = ''
  const onPayload = (buffer: Buffer, start: number, end: number): void => {
    if (malformed || sink === null) return
    const request = parseRequest(buffer, start, end, lastMap)
    if (request === 'no-space') malformed = true
    else if (request === 'not-utf8') sink.lookup(null, null)
    else {
      lastMap = request.map
      sink.lookup(request.map, request.key)
    }
  }
  return {
    push: (chunk: Buffer, requests: Requests): Fault | null => {
      sink = requests
      const error = netstrings.push(chunk, onPayload)
      sink = null
      if (malformed) return { problem: 'a request without a map name', reply: permReply('malformed request: no space between map and key') }
      if (error === null) return null
      // Only then was the length readable, and a reply finds a peer that still knows where it begins.
      if (error === 'too-long') return { problem: `a request of more than ${maxRequestBytes} bytes`, reply: permReply('request too long') }
      return { problem: `not a netstring (${error})`, reply: null }
    },
    get pending() {
      return netstrings.pending
    },
  }
}

export const socketmap: Dialect = { protocol: 'socketmap', ...sharedDecoders(createDecoder), reply: replyIn({ fits, okReply, notFoundReply, tempReply }), limits: `the value is empty, has a NUL, or is over ${maxReplyBytes} bytes` }
