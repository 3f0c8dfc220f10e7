/** A table of aliases in a MariaDB of the test's own, as a load sees it. */
import type { Test } from 'tap'
import { openServers } from '../../src/mysql/database.js'
import { defineTable } from '../../src/tables/definition.js'
import { orderedListing } from '../../src/tables/ordered_listing.js'
import type { OrderedListing } from '../../src/tables/ordered_listing.js'
import { mysqlSource } from '../../src/tables/source.js'
import type { Table } from '../../src/tables/open.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { serverSettings } from '../fixtures/server_settings.js'

export const rows = 6_000
export const keyOf = (number: number): string => `user${String(number).padStart(6, '0')}@example.com`
export const valueOf = (number: number): string => `box${number}@example.net`

export const startTable = async (t: Test): Promise<Mariadb> => {
  const mariadb = await startMariadb({
    sql: `CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255));
      INSERT INTO alias SELECT CONCAT('user', LPAD(seq, 6, '0'), '@example.com'),
        CONCAT('box', seq, '@example.net') FROM seq_0_to_${rows - 1}`,
  })
  t.teardown(() => mariadb.stop())
  return mariadb
}

/** The table through `at`: its server, or a proxy in front of it. */
export const openTable = (
  t: Test, { user, password, database: dbname }: Mariadb, at: { readonly socket: string },
  query = 'SELECT goto FROM alias WHERE address=\'%s\'',
): Table & { readonly listing: OrderedListing } => {
  const defined = defineTable({ hosts: `unix:${at.socket}`, user, password, dbname, query }, parameter => parameter)
  if (!defined.ok) throw new Error(JSON.stringify(defined.problems))
  const { definition } = defined
  const servers = openServers(serverSettings())
  t.teardown(() => servers.close())
  const listing = typeof definition.listing === 'string' ? definition.listing : orderedListing(definition.listing)
  if (typeof listing === 'string') throw new Error(listing)
  const database = servers.database(definition.hosts, definition.login)
  return { definition, database, source: mysqlSource(definition, database), authority: 'here', listing }
}
