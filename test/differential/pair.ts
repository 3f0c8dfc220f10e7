/**
 * Two Postfix side by side on one database: one on mysql: tables, one moved over
 * to Holdfast by `adopt --apply`. Both get the same sessions; what they replied,
 * logged and sent is compared.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMap, parseDocument } from 'yaml'
import { exitConfig, exitTempfail } from '../../src/cli/terminal.js'
import { absenceOfSearch } from '../../src/postfix/parameters.js'
import type { Search } from '../../src/postfix/parameters.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { settle } from '../fixtures/postfix.js'
import type { MadePostfix } from '../fixtures/postfix.js'
import { ownHost, startZone } from '../fixtures/zone.js'
import { runAdopt, startServe } from './in_process.js'
import { nameOf } from './names.js'
import type { Observed } from './observed.js'
import type { Scenario } from './scenario.js'
import { makeSide } from './side.js'
import type { Row } from './table_files.js'

/** Something that only one of the two Postfix did. */
export type Difference = {
  /** The session that shows it; null if it belongs to none. */
  readonly session: number | null
  readonly what: string
  readonly before: readonly string[]
  readonly after: readonly string[]
}

export type Compared =
  | {
    readonly kind: 'compared'
    readonly differences: readonly Difference[]
    readonly recipients: number
    /** What the Postfix on mysql: tables did. */
    readonly before: Observed
    readonly after: Observed
    /** What `adopt` printed. */
    readonly said: string
  }
  /** The scenario has no table that `adopt` can move to Holdfast. */
  | { readonly kind: 'not moved', readonly said: string }

/** SQL that makes the tables: keys in `bin` compare byte by byte, those in `ci` by a collation. */
const schema = ['bin', 'ci'].map(name => `
  CREATE TABLE ${name} (tab VARCHAR(60), k VARCHAR(300), v MEDIUMTEXT, id INT AUTO_INCREMENT PRIMARY KEY, KEY (tab, k))
  CHARACTER SET utf8mb4 COLLATE ${name === 'bin' ? 'utf8mb4_bin' : 'utf8mb4_general_ci'};`).join('')

const literal = (text: string | null): string =>
  text === null ? 'NULL' : `'${text.replaceAll('\\', '\\\\').replaceAll('\'', '\'\'')}'`

const fill = async (mariadb: Mariadb, rows: readonly Row[]): Promise<void> => {
  const values = rows.map(({ table, key, value }) => `(${[table, key, value].map(literal).join(', ')})`).join(', ')
  await mariadb.sql(['bin', 'ci'].map(name =>
    `TRUNCATE ${name};${values === '' ? '' : `INSERT INTO ${name} (tab, k, v) VALUES ${values};`}`).join('\n'))
}

/** Lists the elements that `list` has more often than `other`. */
const beyond = (list: readonly string[], other: readonly string[]): readonly string[] => {
  const left = [...other]
  return list.filter(text => {
    const at = left.indexOf(text)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
}

const compare = (before: Observed, after: Observed): readonly Difference[] => {
  const differences: Difference[] = []
  const note = (session: number | null, what: string, one: readonly string[], other: readonly string[]): void => {
    const [missing, added] = [beyond(one, other), beyond(other, one)]
    if (missing.length + added.length > 0) differences.push({ session, what, before: missing, after: added })
  }
  for (const [session, replies] of before.replies.entries()) {
    note(session, 'replies', replies, after.replies[session] ?? [])
  }
  for (const id of new Set([...before.log.keys(), ...after.log.keys()])) {
    const session = /^<s\d+\.(\d+)\./.exec(id)?.[1]
    const number = session === undefined ? null : Number(session)
    note(number, `log of ${id}`, before.log.get(id) ?? [], after.log.get(id) ?? [])
  }
  note(null, 'messages', before.messages, after.messages)
  return differences
}

type Daemon = { stop(): Promise<void> }
type Moved = { readonly daemon: Daemon | null, readonly said: string }

/**
 * Changes the configuration for the comparison: access tables defer in an outage. Where their query fails, for instance
 * for an expansion_limit, Postfix defers all mail for that key, while Holdfast passes it on purpose.
 */
const deferringInOutages = (yaml: string): string => {
  const config = parseDocument(yaml)
  config.set('health', 'off')
  const maps = config.get('maps')
  for (const { value: map } of isMap(maps) ? maps.items : []) {
    if (!isMap(map)) continue
    const does = map.get('absence') ?? absenceOfSearch(map.get('search') as Search)
    if (does === 'passes' || does === 'reroutes') map.set('in_outage', 'defer')
  }
  return String(config)
}

/** Moves a Postfix over. Resolves with the daemon, or null if there was nothing to move, and what `adopt` printed. */
const moveOver = async ({ configDir, queueDir }: MadePostfix): Promise<Moved> => {
  const output = join(configDir, 'holdfast.yaml')
  const planned = await runAdopt({ configDir, output })
  if (planned.code === exitConfig) return { daemon: null, said: planned.output }
  if (planned.code !== 0) throw new Error(planned.output)
  writeFileSync(output, deferringInOutages(readFileSync(output, 'utf8')))
  mkdirSync(join(queueDir, 'holdfast'))
  const daemon = await startServe(output)
  // On a busy machine the first connection to MariaDB may take longer than `adopt` waits for an answer.
  let applied = await runAdopt({ configDir, apply: true })
  for (let tries = 1; applied.code === exitTempfail && tries < 10; tries++) {
    applied = await runAdopt({ configDir, apply: true })
  }
  if (applied.code !== 0) {
    await daemon.stop()
    throw new Error(applied.output)
  }
  for (const name of ['main.cf', 'master.cf']) settle(join(configDir, name))
  return { daemon, said: planned.output }
}

export type Stage = {
  /** The first lines of each mysql_table(5) file: host, user, password, database. */
  readonly login: string
  run(scenario: Scenario): Promise<Compared>
  stop(): Promise<void>
}

export const startStage = async (): Promise<Stage> => {
  const mariadb = await startMariadb({ sql: schema })
  const names = await startZone(nameOf, { host: ownHost })

  return {
    login: `hosts = unix:${mariadb.socket}\nuser = ${mariadb.user}\npassword = ${mariadb.password}\n`
      + `dbname = ${mariadb.database}\n`,
    run: async scenario => {
      await fill(mariadb, scenario.rows)
      const [before, after] = await Promise.all([0, 1].map(() => makeSide(names.command, scenario)))
      if (before === undefined || after === undefined) throw new Error('no pair')
      const daemons: Daemon[] = []
      const said: string[] = []
      try {
        for (const made of after.made) {
          const moved = await moveOver(made)
          said.push(moved.said)
          if (moved.daemon !== null) daemons.push(moved.daemon)
        }
        if (daemons.length === 0) return { kind: 'not moved', said: said.join('') }
        const [one, other] = await Promise.all([before.observe(scenario), after.observe(scenario)])
        const recipients = scenario.sessions.flatMap(({ steps }) => steps).filter(({ verb }) => verb === 'RCPT').length
        return {
          kind: 'compared', differences: compare(one, other), recipients, before: one, after: other, said: said.join(''),
        }
      } finally {
        await Promise.all([before.stop(), after.stop()])
        for (const daemon of daemons) await daemon.stop()
      }
    },
    stop: async () => {
      await names.stop()
      await mariadb.stop()
    },
  }
}
