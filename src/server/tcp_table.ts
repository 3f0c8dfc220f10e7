/** The tcp_table dialect: tcp_table(5), lines of `get KEY`, replies 200, 500 (absent) and 400 (try again). */
import {
  LineDecoder, fits, maxLineBytes, notFoundReply, okReply, parseRequest, putReply, tempReply,
} from '../../proto/tcp_table.js'
import type { OnLine } from '../../proto/tcp_table.js'
import type { Outcome } from '../outcome.js'
import type { Dialect, ProtocolFault, Request, RequestDecoder } from './dialect.js'

const tooLong: ProtocolFault = {
  kind: 'fault', problem: `a request line of more than ${maxLineBytes} bytes`, reply: tempReply('request too long'),
}

class TcpTableDecoder implements RequestDecoder {
  readonly #lines = new LineDecoder(maxLineBytes)
  #requests: Request[] = []
  #hasFailed = false

  get pending(): boolean {
    return this.#lines.pending
  }

  push(chunk: Buffer): readonly Request[] {
    this.#requests = []
    if (this.#hasFailed) return this.#requests
    const error = this.#lines.push(chunk, this.#onLine)
    if (error !== null) this.#add(tooLong)
    return this.#requests
  }

  #add(request: Request): void {
    if (!this.#hasFailed) this.#requests.push(request)
    if (request.kind === 'fault') this.#hasFailed = true
  }

  readonly #onLine: OnLine = (buffer, start, end) => {
    const request = parseRequest(buffer, start, end)
    if (request === 'not-utf8') this.#add({ kind: 'lookup', map: null, key: null })
    else if (typeof request === 'string') {
      const problem = `not a tcp_table request (${request})`
      this.#add({ kind: 'fault', problem, reply: tempReply('malformed request') })
    } else if (request.kind === 'put') this.#add({ kind: 'answered', reply: putReply })
    else this.#add({ kind: 'lookup', map: null, key: request.key })
  }
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
  createDecoder: () => new TcpTableDecoder(),
  fits, reply,
  limits: `result too long: the reply would be over ${maxLineBytes} bytes`,
}
