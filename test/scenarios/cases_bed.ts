/** What the tests of cases from the field share: the daemon on a MariaDB with a table `alias`, asked over socketmap. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import { socketmapAsk } from '../fixtures/wire.js'

/** The query of a map that names none. */
export const aliasQuery = 'SELECT goto FROM alias WHERE address=\'%s\''

type Section = Readonly<Record<string, unknown>>

export type Setting = {
  /** Hosts, or a whole log-in, by name; `db` is the server itself. */
  readonly databases?: Readonly<Record<string, string | Section>>
  /** A query on `db`, or all of a map that isn't as the others. */
  readonly maps: Readonly<Record<string, string | Section>>
  readonly more?: Section
  /** Stands before the daemon's own command. */
  readonly command?: readonly string[]
  /** Its wall clock can be moved. */
  readonly canShift?: boolean
}

export type Bed = Holdfast & { readonly ask: (map: string, key: string) => Promise<string> }

/** The daemon with these maps, until the test ends. */
export const startCase = async (
  t: Pick<Test, 'teardown'>, mariadb: Mariadb, { databases = {}, maps, more = {}, command = [], canShift = false }: Setting,
): Promise<Bed> => {
  const login = { user: mariadb.user, password: mariadb.password, dbname: mariadb.database }
  const holdfast = await during(t, startHoldfast(dir => JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', admin: `unix:${dir}/admin`,
    databases: Object.fromEntries(Object.entries({ db: `unix:${mariadb.socket}`, ...databases })
      .map(([name, given]) => [name, { ...login, ...typeof given === 'string' ? { hosts: given } : given }])),
    maps: Object.fromEntries(Object.entries(maps).map(([name, given]) =>
      [name, { search: 'exact', database: 'db', query: aliasQuery, ...typeof given === 'string' ? { query: given } : given }])),
    ...more,
  }), { command, canShift }), 'kill')
  return { ...holdfast, ask: (map, key) => socketmapAsk(join(holdfast.dir, 's'), map, key) }
}

/** A proxy in front of the server on this socket, until the test ends. */
export const proxyTo = (t: Pick<Test, 'teardown'>, path: string): Promise<Proxy> => during(t, startProxy({ path }))

/** Asks until the server is known to be back: the first reply that is no temporary error. */
export const untilAnswered = async ({ ask }: Bed, map: string, key: string): Promise<string> => {
  for (;;) {
    const reply = await ask(map, key)
    if (!reply.startsWith('TEMP ')) return reply
    await setTimeout(20)
  }
}
