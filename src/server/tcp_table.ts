/** The tcp_table dialect: tcp_table(5), lines of `get KEY`, replies 200, 500 (absent) and 400 (try again). */
import {
  LineDecoder, fits, maxLineBytes, notFoundReply, okReply, parseRequest, putReply, tempReply,
} from '../../proto/tcp_table.js'
import { replyIn, sharedDecoders } from './dialect.js'
import type { Dialect, Fault, RequestDecoder, Requests } from './dialect.js'

const createDecoder = (): RequestDecoder => {
  const lines = new LineDecoder(maxLineBytes)
  let sink: Requests | null = null
  let problem: string | null = null
  const onLine = (buffer: Buffer, start: number, end: number): void => {
    if (problem !== null || sink === null) return
    const request = parseRequest(buffer, start, end)
    if (request === 'not-utf8') sink.lookup(null, null)
    else if (typeof request === 'string') problem = request
    else if (request.kind === 'put') sink.reply(putReply)
    else sink.lookup(null, request.key)
  }
  return {
    push: (chunk: Buffer, requests: Requests): Fault | null => {
      sink = requests
      const error = lines.push(chunk, onLine)
      sink = null
      if (problem !== null) return { problem: `not a tcp_table request (${problem})`, reply: tempReply('malformed request') }
      return error === null ? null : { problem: `a request line of more than ${maxLineBytes} bytes`, reply: tempReply('request too long') }
    },
    get pending() {
      return lines.pending
    },
  }
}

export const tcpTable: Dialect = { protocol: 'tcp_table', ...sharedDecoders(createDecoder), reply: replyIn({ fits, okReply, notFoundReply, tempReply }), limits: `result too long: the reply would be over ${maxLineBytes} bytes` }
