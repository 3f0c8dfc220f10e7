/**
 * The second drill: a sending Postfix and its three primary MX and one
 * fallback, each a Postfix on its own Holdfast. Databases, Holdfasts,
 * Postfixes and whole nodes die, and no valid message may bounce.
 *
 * The sender has an ordered list of next hops for each domain, as its MX
 * records would give it: the primaries in another order for each, the fallback
 * last; for some domains in arbitrary order. Holdfast has its defaults.
 */
import { join } from 'node:path'
import { startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { startPostfix } from '../fixtures/postfix.js'
import type { Postfix } from '../fixtures/postfix.js'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import { smtpSession } from '../fixtures/smtp.js'
import { askFor, untilSure } from './probe.js'
import { schemaSql } from './recipients.js'
import { holdfastConfig, mainCf } from './stage.js'

/** In which order the sender asks the primaries, by number, and the fallback: some take the hosts in any order. */
const orders: Readonly<Record<string, readonly (number | 'fallback')[]>> = {
  'a.example': [0, 1, 2, 'fallback'],
  'b.example': [1, 2, 0, 'fallback'],
  'c.example': [2, 0, 1, 'fallback'],
  'd.example': ['fallback', 0, 1, 2],
  'e.example': [2, 'fallback', 1, 0],
}
const domains = Object.keys(orders)
const primaryCount = 3
const eachKind = 4

/** known: mailed to before. new: never. mistyped: in no table. */
const kinds = ['known', 'new', 'mistyped'] as const
type Kind = typeof kinds[number]

/** What the primaries do with a recipient that their table says is absent. */
type Unknown = 'defer' | 'reject'

type Fate = 'sent' | 'bounced' | 'deferred'

type Node = {
  /** In front of the database, for this node alone. */
  readonly proxy: Proxy
  readonly holdfast: Holdfast
  readonly postfix: Postfix
  configure(more: Readonly<Record<string, unknown>>): void
}

export type MxReport = {
  readonly phase: string
  readonly fates: Readonly<Record<Kind, Record<Fate, number>>>
  /** Seconds from the sender's acceptance to the last word on a recipient, at most. */
  readonly seconds: number
  /** Valid recipients that must not bounce here and did, with the sender's log line. */
  readonly evidence: readonly string[]
  /** What else isn't as it should be. */
  readonly missed: readonly string[]
}

type Expectation = {
  readonly phase: string
  readonly expect: Readonly<Record<Kind, Fate>>
  /** The same where the primaries reject what their table says is absent. */
  readonly ifRejecting?: Readonly<Record<Kind, Fate>>
  /** A fallback with `outage: reject` refuses what neither table nor cache can tell: the operator chose that. */
  readonly newMayBounce?: true
  go(nodes: readonly Node[], fallback: Node): Promise<void>
}

const cutOff = ({ proxy }: Node): void => {
  proxy.refuse()
  proxy.dropAll()
}

const allSent = { known: 'sent', new: 'sent', mistyped: 'bounced' } as const
/** No fallback can say no. */
const anyPrimaryKnows = { expect: { known: 'sent', new: 'sent', mistyped: 'deferred' }, ifRejecting: allSent } as const
const onlyKnownSent = { known: 'sent', new: 'deferred', mistyped: 'deferred' } as const

const bringBack = async (nodes: readonly Node[]): Promise<void> => {
  for (const { proxy, holdfast } of nodes) {
    await proxy.pass()
    await untilSure(holdfast, ['virtual_alias'])
  }
}

/** A fallback with `outage: reject` has to see its server out for `outage_after` (1m) first. */
const outageAfterMs = 65_000

/** Each phase goes on from the one before. */
const phases: readonly Expectation[] = [
  { phase: 'all is well', expect: allSent, go: () => Promise.resolve() },
  {
    phase: 'the database of one primary dies', expect: allSent,
    go: ([first]) => {
      if (first !== undefined) cutOff(first)
      return Promise.resolve()
    },
  },
  {
    phase: 'the databases of all primaries die', expect: allSent,
    go: nodes => {
      nodes.forEach(cutOff)
      return Promise.resolve()
    },
  },
  {
    phase: 'that of the fallback too', expect: onlyKnownSent,
    go: (_, fallback) => {
      cutOff(fallback)
      return Promise.resolve()
    },
  },
  {
    phase: 'the database of one primary alone is back', ...anyPrimaryKnows,
    go: ([, second]) => bringBack(second === undefined ? [] : [second]),
  },
  { phase: 'all databases are back', expect: allSent, go: (nodes, fallback) => bringBack([...nodes, fallback]) },
  {
    phase: 'Holdfast dies on one primary', expect: allSent,
    go: async ([first]) => { await first?.holdfast.kill() },
  },
  {
    phase: 'Holdfast dies on the fallback too', ...anyPrimaryKnows,
    go: async (_, fallback) => { await fallback.holdfast.kill() },
  },
  {
    phase: 'both are back, and Postfix stops on another primary', expect: allSent,
    go: async ([first, second], fallback) => {
      const restarted = first === undefined ? [fallback] : [first, fallback]
      for (const { holdfast } of restarted) await holdfast.start()
      await bringBack(restarted)
      // For as long as it lives, smtpd(8) repeats "Temporary lookup failure" for an address that could not be resolved
      // once. A sender tries again after minutes, when that one has left (max_idle); the drill does at once.
      for (const { postfix } of restarted) await postfix.reload()
      await second?.postfix.stop()
    },
  },
  {
    phase: 'a whole node goes away besides', expect: allSent,
    go: async ([, , third]) => {
      await third?.postfix.stop()
      await third?.holdfast.kill()
    },
  },
  {
    phase: 'all databases die for a minute, fallback with outage: reject',
    expect: { known: 'sent', new: 'bounced', mistyped: 'bounced' }, newMayBounce: true,
    go: async ([first], fallback) => {
      const from = fallback.holdfast.log().length
      fallback.configure({ role: 'fallback', outage: 'reject' })
      fallback.holdfast.reload()
      await fallback.holdfast.logged(/ reloaded: /, from)
      const left = [fallback, ...first === undefined ? [] : [first]]
      left.forEach(cutOff)
      await askFor(fallback.holdfast, outageAfterMs)
    },
  },
  {
    phase: 'the whole fallback goes away, and one primary is left with its database', ...anyPrimaryKnows,
    go: async ([first], fallback) => {
      await fallback.postfix.stop()
      await fallback.holdfast.kill()
      await bringBack(first === undefined ? [] : [first])
    },
  },
]

const startNode = async (mariadb: Mariadb, role: Readonly<Record<string, unknown>>, stops: (() => unknown)[]): Promise<Node> => {
  const proxy = await startProxy({ host: mariadb.host, port: mariadb.port })
  stops.push(() => proxy.stop())
  const config = (dir: string, more: Readonly<Record<string, unknown>>): string =>
    holdfastConfig(dir, { host: proxy.host, port: proxy.port, mariadb }, more)
  // As the unit gives it one: for the snapshot and the copies.
  const holdfast = await startHoldfast(dir => config(dir, role), { env: { ...process.env, STATE_DIRECTORY: freshFolder() } })
  stops.push(() => holdfast.kill())
  const socket = join(holdfast.dir, 's')
  const postfix = await startPostfix({ mainCf: {
    ...mainCf(map => `socketmap:unix:${socket}:${map}`),
    // A route that can't be looked up is deferred on every node, also by a fallback that may say no.
    transport_maps: '',
    relay_transport: 'discard:',
  } })
  stops.push(() => postfix.stop())
  return { proxy, holdfast, postfix, configure: more => holdfast.configure(config(holdfast.dir, more)) }
}

/** The sender: its domains' next hops are the nodes. Bounces go to a sender whose mail is thrown away. */
const startSender = (nodes: readonly Node[], fallback: Node): Promise<Postfix> => {
  const hop = (place: number | 'fallback'): string =>
    `[127.0.0.1]:${(place === 'fallback' ? fallback : nodes[place])?.postfix.smtpPort}`
  const routes = Object.entries(orders).map(([domain, order]) => `{ ${domain} = smtp:${order.map(hop).join(', ')} }`)
  return startPostfix({ mainCf: {
    relay_domains: domains.join(' '),
    transport_maps: `inline:{${routes.join(', ')}}`,
    default_transport: 'discard:',
    // smtp(8) passes over an address that it reached by a cached connection, whatever the port; ours are all the same.
    smtp_connection_cache_on_demand: 'no',
    // A queue run for what was deferred comes when the drill says so.
    minimal_backoff_time: '1h',
    maximal_backoff_time: '1h',
  } })
}

const insertSql = (addresses: readonly string[]): string =>
  `INSERT INTO relay_recipient VALUES ${addresses.map(address => `('${address}')`).join(', ')}`

let serial = 0
const addresses = (kind: Kind): readonly string[] => domains.flatMap(domain =>
  Array.from({ length: eachKind }, (_, number) => kind === 'known' ? `known${number}@${domain}` : `${kind}${serial++}@${domain}`))

const fateOf = async (sender: Postfix, recipient: string, from: number): Promise<readonly [Fate, string]> => {
  const [line, fate] = await sender.logged(new RegExp(`^.* to=<${recipient}>,.* status=(sent|bounced|deferred) .*$`, 'm'), from)
  return [fate === 'sent' || fate === 'bounced' ? fate : 'deferred', line]
}

const runPhase = async (
  { phase, expect: wanted, ifRejecting, newMayBounce }: Expectation, unknown: Unknown,
  sender: Postfix, mariadb: Mariadb, earlier: readonly string[],
): Promise<{ report: MxReport, deferred: readonly string[] }> => {
  const expect = unknown === 'reject' ? ifRejecting ?? wanted : wanted
  const recipients = kinds.flatMap(kind => addresses(kind).map(address => ({ kind, address })))
  await mariadb.sql(insertSql(recipients.filter(({ kind }) => kind === 'new').map(({ address }) => address)))
  const from = sender.log().length
  // What was deferred before has its next try now.
  if (earlier.length > 0) await sender.postqueue('-f')
  const session = await smtpSession(sender.smtpPort)
  const startedAt = performance.now()
  for (const { address } of recipients) {
    await session.mail('someone@sender.example')
    await session.rcpt(address)
    const { code, text } = await session.data('Subject: mx drill\n\nhello\n')
    if (code !== 250) throw new Error(`the sending Postfix doesn't take mail: ${code} ${text}`)
  }
  await session.quit()
  const fates: Record<Kind, Record<Fate, number>> = {
    known: { sent: 0, bounced: 0, deferred: 0 }, new: { sent: 0, bounced: 0, deferred: 0 }, mistyped: { sent: 0, bounced: 0, deferred: 0 },
  }
  const evidence: string[] = []
  const missed: string[] = []
  const deferred: string[] = []
  for (const { kind, address } of recipients) {
    const [fate, line] = await fateOf(sender, address, from)
    fates[kind][fate]++
    if (fate === 'deferred') deferred.push(address)
    if (fate !== expect[kind]) missed.push(`${kind} ${fate}: ${line}`)
    if (fate === 'bounced' && (kind === 'known' || (kind === 'new' && newMayBounce !== true))) evidence.push(line)
  }
  const seconds = (performance.now() - startedAt) / 1_000
  for (const address of earlier) {
    const [fate, line] = await fateOf(sender, address, from)
    if (fate === 'deferred') deferred.push(address)
    const isValid = address.startsWith('new')
    if (isValid && fate === 'bounced') evidence.push(line)
    if (fate !== expect[isValid ? 'new' : 'mistyped']) missed.push(`deferred before, now ${fate}: ${line}`)
  }
  return { report: { phase: `unknown: ${unknown}: ${phase}`, fates, seconds, evidence, missed }, deferred }
}

/** Runs the drill, first with primaries that defer what is absent, then with such that reject it. */
export const runMxDrill = async (onPhase: (report: MxReport) => void): Promise<readonly MxReport[]> =>
  [...await runMxPhases('defer', onPhase), ...await runMxPhases('reject', onPhase)]

const runMxPhases = async (unknown: Unknown, onPhase: (report: MxReport) => void): Promise<readonly MxReport[]> => {
  const stops: (() => unknown)[] = []
  try {
    const mariadb = await startMariadb({ sql: `
      ${schemaSql}
      INSERT INTO relay_domain VALUES ${domains.map(domain => `('${domain}')`).join(', ')};
      ${insertSql(addresses('known'))};
      GRANT SLAVE MONITOR ON *.* TO 'holdfast'@'%'` })
    stops.push(() => mariadb.stop())
    const nodes: Node[] = []
    for (let count = 0; count < primaryCount; count++) {
      nodes.push(await startNode(mariadb, { role: 'primary', unknown }, stops))
    }
    const fallback = await startNode(mariadb, { role: 'fallback' }, stops)
    const sender = await startSender(nodes, fallback)
    stops.push(() => sender.stop())
    const reports: MxReport[] = []
    let deferred: readonly string[] = []
    for (const expectation of phases) {
      await expectation.go(nodes, fallback)
      const outcome = await runPhase(expectation, unknown, sender, mariadb, deferred)
      deferred = outcome.deferred
      reports.push(outcome.report)
      onPhase(outcome.report)
    }
    return reports
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

/** One phase for people. */
export const mxText = ({ phase, fates, seconds, evidence, missed }: MxReport): string => [
  `${phase} (${seconds.toFixed(1)} s)`,
  ...kinds.map(kind => `  ${kind.padEnd(10)}${Object.entries(fates[kind]).map(([fate, count]) => `${fate} ${count}`.padEnd(14)).join('')}`),
  ...evidence.map(line => `    VALID BUT BOUNCED: ${line}`),
  ...missed.slice(0, 6).map(line => `    unlike expected: ${line}`),
].join('\n')
