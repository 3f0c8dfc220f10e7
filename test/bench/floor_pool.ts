/**
 * The floor for an answer from MySQL: the same query through a plain mysql2 pool, where
 * mysql2 escapes the key, behind the same bare responder as in floor.ts. It has no
 * deadline, no breaker and no failover.
 *
 *   floor_pool unix:PATH MYSQL USER PASSWORD DATABASE CONNECTIONS QUERY [CA-FILE]
 *
 * MYSQL is unix:PATH or HOST:PORT.
 * Writes "listening" once it accepts connections.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { createPool } from 'mysql2'
import type { RowDataPacket } from 'mysql2'

const [endpoint = '', mysql = '', user = '', password = '', database = '', connections, query = '', caFile = ''] = process.argv.slice(2)
const [host = '', port] = mysql.split(':')

const pool = createPool({
  ...host === 'unix' ? { socketPath: mysql.slice('unix:'.length) } : { host, port: Number(port) },
  user, password, database, connectionLimit: Number(connections),
  ...caFile === '' ? {} : { ssl: { ca: readFileSync(caFile) } },
})

createServer(socket => {
  socket.on('error', () => undefined)
  socket.on('data', chunk => {
    const request = chunk.toString('latin1')
    const key = request.slice(request.indexOf(' ') + 1, -1)
    pool.query<RowDataPacket[][]>({ sql: query, rowsAsArray: true }, [key], (error, rows) => {
      if (error !== null) throw error
      const value: unknown = rows[0]?.[0]
      socket.write(typeof value === 'string' ? `${value.length + 3}:OK ${value},` : '9:NOTFOUND ,', 'latin1')
    })
  })
}).listen(endpoint.replace(/^unix:/, ''), () => process.stdout.write('listening\n'))
