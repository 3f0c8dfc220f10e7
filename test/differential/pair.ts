/**
 * Two Postfix side by side on one database: one on mysql: tables, one moved over
 * to Holdfast by `adopt --apply`. Both get the same sessions; what they replied,
 * logged and sent is compared.
 */
import { chmodSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { isMap, parseDocument } from 'yaml'
import { exitConfig, exitTempfail } from '../../src/cli/terminal.js'
import { absenceOfSearch } from '../../src/postfix/parameters.js'
import type { Search } from '../../src/postfix/parameters.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { makePostfix, settle } from '../fixtures/postfix.js'
import type { MadePostfix, Postfix } from '../fixtures/postfix.js'
import { startSmtpSink } from '../fixtures/smtp.js'
import { ownHost, startZone } from '../fixtures/zone.js'
import { runAdopt, startServe } from './in_process.js'
import { nameOf } from './names.js'
import { readLog, readMessage, readWarnings, runMarker, runSessions } from './observed.js'
import type { Observed } from './observed.js'
import type { Row, Scenario } from './scenario.js'

/** What one Postfix did and the other did not. */
export type Difference = {
  /** The session it is of, if it is of one. */
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
    /** What `adopt` said. */
    readonly said: string
  }
  /** No table that Holdfast could take over. */
  | { readonly kind: 'not moved', readonly said: string }

/** The tables: `bin` compares by bytes, `ci` by a collation. */
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

const options = (overrides: Readonly<Record<string, string>>): string =>
  Object.entries(overrides).map(([name, value]) => ` -o {${name}=${value}}`).join('')

const masterCf = (port: number, { smtpd, cleanup, rewrite }: Scenario['overrides']): string => `
127.0.0.1:${port} inet n - n - - smtpd${options(smtpd)}
cleanup unix n - n - 0 cleanup${options(cleanup)}
rewrite unix - - n - - trivial-rewrite${options(rewrite)}
${['t1', 't2', 'smtp', 'relay', 'lmtp', 'local']
    .map(name => `${name} unix - - n - - discard -o syslog_name=${name}`).join('\n')}
pickup unix n - n 60 1 pickup
tlsmgr unix - - n 1000? 1 tlsmgr
gsm unix - - n - - smtp
lm unix - - n - - lmtp
`

/** Whether nothing waits for a first attempt. */
const isIdle = (queueDir: string): boolean => ['incoming', 'active'].every(name => {
  try {
    return readdirSync(join(queueDir, name), { recursive: true }).length === 0
  } catch {
    // A folder within it that was there a moment ago.
    return false
  }
})

const settleQueue = async (queueDir: string): Promise<void> => {
  const until = performance.now() + 600_000
  for (let idle = 0; idle < 3;) {
    if (performance.now() > until) throw new Error('Postfix still delivers after 10 minutes')
    idle = isIdle(queueDir) ? idle + 1 : 0
    await setTimeout(50)
  }
}

/** The elements that `list` has more often than `other`. */
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

/** A Postfix of the pair, before it starts. */
type Side = {
  readonly made: MadePostfix
  /** Starts it, and gives it the sessions. */
  observe(scenario: Scenario): Promise<Observed>
  stop(): Promise<void>
}

type Moved = { readonly daemon: { stop(): Promise<void> } | null, readonly said: string }

/**
 * A configuration with what only outages need left out. Copies cost more than the sessions. A lookup that a busy
 * machine holds up for two seconds is no difference. And where the query of an access table fails, for an
 * expansion_limit, Postfix defers all mail for that key and Holdfast passes it, on purpose: here it defers as well.
 */
const withoutOutages = (yaml: string): string => {
  const config = parseDocument(yaml)
  const all = { health: 'off', copy_rows: 0, deadline: '50s', soft_deadline: '40s' }
  for (const [name, value] of Object.entries(all)) config.set(name, value)
  const maps = config.get('maps')
  for (const { value: map } of isMap(maps) ? maps.items : []) {
    if (!isMap(map)) continue
    const does = map.get('absence') ?? absenceOfSearch(map.get('search') as Search)
    if (does === 'passes' || does === 'reroutes') map.set('in_outage', 'defer')
  }
  return String(config)
}

/** Moves a Postfix over; gives the daemon, null if there was nothing to move, and what `adopt` said. */
const moveOver = async ({ configDir, queueDir }: MadePostfix): Promise<Moved> => {
  const output = join(configDir, 'holdfast.yaml')
  const planned = await runAdopt({ configDir, output })
  if (planned.code === exitConfig) return { daemon: null, said: planned.output }
  if (planned.code !== 0) throw new Error(planned.output)
  writeFileSync(output, withoutOutages(readFileSync(output, 'utf8')))
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

/** What makes each Postfix like the other but for time. */
const steadySettings = {
  // How many deliveries fail at once, and so whether a destination is given up for a while, is chance.
  default_destination_concurrency_failed_cohort_limit: '0',
  // No deferred mail is tried again while we look.
  queue_run_delay: '1h', minimal_backoff_time: '1h',
}

export type Stage = {
  /** Begins each mysql_table(5) file. */
  readonly login: string
  run(scenario: Scenario): Promise<Compared>
  stop(): Promise<void>
}

export const startStage = async (): Promise<Stage> => {
  const mariadb = await startMariadb({ sql: schema })
  const names = await startZone(nameOf, { host: ownHost })

  const makeOne = async ({ main, overrides }: Scenario): Promise<Side> => {
    const port = await freePort()
    const sink = await startSmtpSink()
    const mailboxes = freshFolder()
    chmodSync(mailboxes, 0o777)
    const made = await makePostfix({
      command: names.command, masterCf: masterCf(port, overrides),
      mainCf: {
        smtpd_authorized_xclient_hosts: '127.0.0.1', notify_classes: '', smtp_tcp_port: String(sink.port),
        lmtp_tcp_port: String(sink.port), lm_destination_recipient_limit: '1', compatibility_level: '3.6',
        // What names resolve to is no server of ours: from here nothing leaves this machine.
        // A connection that is used again isn't asked whether its server takes SMTPUTF8, and chance decides on that.
        smtp_connection_cache_on_demand: 'no', lmtp_connection_cache_on_demand: 'no',
        smtp_bind_address: '127.0.0.1', lmtp_bind_address: '127.0.0.1',
        virtual_mailbox_base: mailboxes, virtual_uid_maps: 'static:65534', virtual_gid_maps: 'static:65534',
        virtual_minimum_uid: '1', default_process_limit: '20', local_recipient_maps: '$alias_maps', ...steadySettings,
        ...main,
      },
    })
    let postfix: Postfix | null = null
    return {
      made,
      observe: async ({ sessions }) => {
        const running = postfix = await made.start()
        const settled = (): Promise<void> => settleQueue(made.queueDir)
        let submitted = 0
        // pickup(8) logs it when cleanup(8) has begun a file for it, and tries again what cleanup(8) doesn't take.
        const pickedUp = async (): Promise<string> => {
          await running.logged(new RegExp(`(?:pickup\\[\\d+\\]: \\w+: uid=[^]*?){${++submitted}}`))
          await settled()
          const maildrop = join(made.queueDir, 'maildrop')
          const left = readdirSync(maildrop)
          for (const name of left) rmSync(join(maildrop, name))
          return left.length > 0 ? 'not taken' : 'taken'
        }
        const replies = await runSessions({ port, configDir: made.configDir, settled, pickedUp }, sessions)
        await settled()
        // Its daemons write to the log one after the other: with the marker, all from before it is there.
        await Promise.all([running.logged(runMarker.logged), runMarker.run(port)])
        const log = running.log()
        return { replies, log: readLog(log), warnings: readWarnings(log), messages: sink.received.map(readMessage) }
      },
      stop: async () => {
        if (postfix === null) made.remove()
        else await postfix.stop()
        await sink.stop()
        removeFolder(mailboxes)
      },
    }
  }

  return {
    login: `hosts = unix:${mariadb.socket}\nuser = ${mariadb.user}\npassword = ${mariadb.password}\n`
      + `dbname = ${mariadb.database}\n`,
    run: async scenario => {
      await fill(mariadb, scenario.rows)
      const [before, after] = await Promise.all([makeOne(scenario), makeOne(scenario)])
      let moved: Moved | null = null
      try {
        moved = await moveOver(after.made)
        const { daemon, said } = moved
        if (daemon === null) return { kind: 'not moved', said }
        const [one, other] = await Promise.all([before.observe(scenario), after.observe(scenario)])
        const recipients = scenario.sessions.flatMap(({ steps }) => steps).filter(({ verb }) => verb === 'RCPT').length
        return { kind: 'compared', differences: compare(one, other), recipients, before: one, after: other, said }
      } finally {
        await Promise.all([before.stop(), after.stop()])
        await moved?.daemon?.stop()
      }
    },
    stop: async () => {
      await names.stop()
      await mariadb.stop()
    },
  }
}
