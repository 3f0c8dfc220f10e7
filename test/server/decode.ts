import type { Dialect, ProtocolFault } from '../../src/server/dialect.js'

/** What a decoder of this dialect makes of the chunks: requests as `map|key`, and the fault that ends it. */
export const decodeBy = (dialect: Dialect) => (...chunks: readonly (string | Buffer)[]) => {
  const decoder = dialect.createDecoder()
  const requests: string[] = []
  let fault: ProtocolFault | null = null
  for (const request of chunks.flatMap(chunk => decoder.push(Buffer.from(chunk)))) {
    switch (request.kind) {
      case 'lookup':
        requests.push(`${String(request.map)}|${request.key}`)
        break
      case 'answered':
        requests.push(request.reply)
        break
      case 'fault':
        fault = request
        break
      default: request satisfies never
    }
  }
  return { requests, fault, pending: decoder.pending }
}
