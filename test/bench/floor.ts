/**
 * The floor of the language: the least that a Node server can do for a lookup.
 * Bare `net`, one `Map`, one string conversion each way. It has no limits, no
 * timeouts and no metrics, and expects each request in one chunk.
 *
 *   floor unix:PATH inet-port tcp_table-port KEY-PATTERN VALUE-PATTERN COUNT
 *
 * Writes "listening" once it accepts connections.
 */
import { createServer } from 'node:net'
import type { Socket } from 'node:net'

const [endpoint = '', inetPort, tablePort, keyPattern = '%d', valuePattern = '%d', count] = process.argv.slice(2)

const socketmapReplies = new Map<string, string>()
const tableReplies = new Map<string, string>()
for (let number = 0; number < Number(count); number++) {
  const key = keyPattern.replace('%d', String(number))
  const value = valuePattern.replace('%d', String(number))
  socketmapReplies.set(key, `${value.length + 3}:OK ${value},`)
  tableReplies.set(key, `200 ${value}\n`)
}

const serve = (replies: Map<string, string>, absent: string) => (socket: Socket): void => {
  socket.setNoDelay(true)
  socket.on('error', () => undefined)
  socket.on('data', chunk => {
    const request = chunk.toString('latin1')
    const key = request.slice(request.indexOf(' ') + 1, -1)
    socket.write(replies.get(key) ?? absent, 'latin1')
  })
}

const servers = [
  createServer(serve(socketmapReplies, '9:NOTFOUND ,')).listen(endpoint.replace(/^unix:/, '')),
  createServer(serve(socketmapReplies, '9:NOTFOUND ,')).listen(Number(inetPort), '127.0.0.1'),
  createServer(serve(tableReplies, '500 absent\n')).listen(Number(tablePort), '127.0.0.1'),
]
let listening = 0
for (const server of servers) {
  server.on('listening', () => {
    listening++
    if (listening === servers.length) process.stdout.write('listening\n')
  })
}
