/**
 * Which server it is that answers: of two nodes, or two questions, the same name
 * may mean another one (a socket, an address that moves, a proxy).
 */
import { createHash } from 'node:crypto'
import type { Database } from './database.js'

/** `name`: as the configuration has it. `identity`: 16 hexadecimal digits, of what the server says of itself. */
export type ServerIdentity = { readonly name: string, readonly identity: string }

const askBudgetMs = 5_000
/** MySQL has server_uuid, MariaDB since 10.5 server_uid. */
const sql = 'SHOW GLOBAL VARIABLES WHERE Variable_name IN (\'hostname\', \'port\', \'socket\', \'datadir\', \'server_id\', \'server_uuid\', \'server_uid\')'

/** The server that lookups ask now; a text says why that can't be known. */
export const askIdentity = async (database: Pick<Database, 'ask'>): Promise<ServerIdentity | string> => {
  const answer = await database.ask({ sql, texts: [sql] }, [], askBudgetMs)
  if (answer.kind === 'unavailable') return answer.detail
  const variables = (answer.rows ?? []).map(row => JSON.stringify(row)).sort()
  if (variables.length === 0) return 'the server does not say which one it is'
  return { name: answer.from.name, identity: createHash('sha256').update(variables.join()).digest('hex').slice(0, 16) }
}
