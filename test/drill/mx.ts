/**
 * The drill of MX hosts: a sending Postfix, three primaries and a fallback, each
 * a Postfix with its own Holdfast. Databases, Holdfasts, Postfixes and whole
 * nodes fail, and no valid message may bounce. Holdfast has its defaults.
 *
 * The sender finds the nodes by their MX records on a name server: the primaries
 * have the same number, so it tries them in random order, the fallback last. For
 * some domains all nodes have the same number, which stands for senders that
 * don't keep to the order.
 */
import { join } from 'node:path'
import { startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { startPostfix } from '../fixtures/postfix.js'
import type { Postfix, PostfixOptions } from '../fixtures/postfix.js'
import { freePort } from '../fixtures/port.js'
import { startProxy } from '../fixtures/proxy.js'
import type { Proxy } from '../fixtures/proxy.js'
import { smtpSession } from '../fixtures/smtp.js'
import { ownHost, startZone } from '../fixtures/zone.js'
import type { Zone } from '../fixtures/zone.js'
import { askFor, untilSure } from './probe.js'
import { schemaSql } from './recipients.js'
import { holdfastConfig, postfixOnHoldfast } from './stage.js'

/**
 * How the sender walks the MX hosts of each domain. A hasty sender gives up after two hosts that answered, as Postfix
 * does by default (smtp_mx_session_limit). It may never try the fallback, so the drill only checks that its mail to
 * known recipients is sent, and none to mistyped ones.
 */
const walks = {
  'a.example': 'MX order', 'b.example': 'MX order', 'c.example': 'any order', 'd.example': 'any order',
  'e.example': 'hasty',
} as const
type Domain = keyof typeof walks
const domains = Object.keys(walks) as readonly Domain[]
const domainOf = (address: string): Domain => address.slice(address.indexOf('@') + 1) as Domain
const isHasty = (address: string): boolean => walks[domainOf(address)] === 'hasty'

const primaryCount = 3
const eachKind = 4

/** known: got mail before. new: exists, but got no mail yet. mistyped: in no table. */
const kinds = ['known', 'new', 'mistyped'] as const
type Kind = typeof kinds[number]

/** What the primaries do with a recipient that their table says is absent. */
type Unknown = 'defer' | 'reject'

type Fate = 'sent' | 'bounced' | 'deferred'

type Node = {
  /** The address of the node, where its Postfix listens on the same port as the other nodes. */
  readonly host: string
  /** The fault proxy in front of the database, for this node alone. */
  readonly proxy: Proxy
  readonly holdfast: Holdfast
  readonly postfix: Postfix
  configure(more: Readonly<Record<string, unknown>>): void
}

type Fates = Readonly<Record<Kind, Record<Fate, number>>>

export type MxReport = {
  readonly phase: string
  readonly fates: Fates
  /** What became of a hasty sender's mail. */
  readonly hasty: Fates
  /** The longest time from when the sender took a mail until it was sent or bounced (seconds). */
  readonly seconds: number
  /** The sender's log lines of valid recipients that bounced although the phase does not allow it. */
  readonly evidence: readonly string[]
  /** Other differences from what the phase expects. */
  readonly missed: readonly string[]
}

type Expectation = {
  readonly phase: string
  readonly expect: Readonly<Record<Kind, Fate>>
  /** What to expect instead if the primaries reject recipients that their table says are absent. */
  readonly ifRejecting?: Readonly<Record<Kind, Fate>>
  /** A fallback with `outage: reject` refuses what it can't look up in an outage: the operator chose that. */
  readonly newMayBounce?: true
  go(nodes: readonly Node[], fallback: Node): Promise<void>
}

const cutOff = ({ proxy }: Node): void => {
  proxy.refuse()
  proxy.dropAll()
}

const allSent = { known: 'sent', new: 'sent', mistyped: 'bounced' } as const
/** With the fallback down, nobody rejects a recipient unless the primaries do. */
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

/** Each phase begins where the one before it ended. */
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
      // An smtpd(8) that could not resolve an address repeats "Temporary lookup failure" for it until it exits. A real
      // sender retries after minutes, when that smtpd has exited (max_idle); the drill retries at once.
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

/** Makes a node's Postfix, on the Holdfast of this socket; senders connect to `address`. */
export const nodePostfix = (socket: string, address: string): PostfixOptions => {
  const moved = postfixOnHoldfast(socket, [address])
  // Every node defers mail whose route it can't look up, even a fallback that may refuse recipients.
  return { ...moved, mainCf: { ...moved.mainCf, transport_maps: '', relay_transport: 'discard:' } }
}

const startNode = async (
  mariadb: Mariadb, role: Readonly<Record<string, unknown>>, host: string, port: number, stops: (() => unknown)[],
): Promise<Node> => {
  const proxy = await startProxy({ host: mariadb.host, port: mariadb.port })
  stops.push(() => proxy.stop())
  const config = (dir: string, more: Readonly<Record<string, unknown>>): string =>
    holdfastConfig(dir, { host: proxy.host, port: proxy.port, mariadb }, more)
  // The unit also gives Holdfast a state directory, for the snapshot and the copies.
  const holdfast = await startHoldfast(dir => config(dir, role), { env: { ...process.env, STATE_DIRECTORY: freshFolder() } })
  stops.push(() => holdfast.kill())
  const postfix = await startPostfix(nodePostfix(join(holdfast.dir, 's'), `${host}:${port}`))
  stops.push(() => postfix.stop())
  return { host, proxy, holdfast, postfix, configure: more => holdfast.configure(config(holdfast.dir, more)) }
}

/** The loopback address of each node. */
const hostOf = (number: number): string => ownHost.replace('127.6.', `127.${number + 7}.`)

/** The name server of the sender. */
const startNames = (nodes: readonly Node[], fallback: Node): Promise<Zone> => {
  const all = [...nodes, fallback]
  return startZone(name => {
    const node = all.find((_, index) => name === `mx${index}.example`)
    if (node !== undefined) return { a: [node.host] }
    const walk = (walks as Readonly<Record<string, string>>)[name]
    return walk === undefined ? undefined : {
      mx: all.map((each, index) => `${each === fallback && walk !== 'any order' ? 90 : 10} mx${index}.example`),
    }
  }, { host: ownHost })
}

/** Starts the sending Postfix, whose MX hosts are the nodes. Its bounces go to an address that discards mail. */
const startSender = ({ command }: Zone, port: number): Promise<Postfix> => {
  const routes = domains.map(domain => `{ ${domain} = ${walks[domain] === 'hasty' ? 'hasty' : 'smtp'}:${domain}:${port} }`)
  return startPostfix({ command, mainCf: {
    smtp_dns_support_level: null,
    smtp_host_lookup: null,
    relay_domains: domains.join(' '),
    transport_maps: `inline:{${routes.join(', ')}}`,
    default_transport: 'discard:',
    smtp_mx_session_limit: '0',
    // With cached connections, smtp(8) skips some of the MX hosts with the same number, and ends its walk early.
    smtp_connection_cache_on_demand: 'no',
    // Postfix retries deferred mail only when the drill tells it to.
    minimal_backoff_time: '1h',
    maximal_backoff_time: '1h',
  }, masterCf: 'hasty unix - - n - - smtp -o smtp_mx_session_limit=2\n' })
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

const noFates = (): Fates => ({
  known: { sent: 0, bounced: 0, deferred: 0 }, new: { sent: 0, bounced: 0, deferred: 0 }, mistyped: { sent: 0, bounced: 0, deferred: 0 },
})

const runPhase = async (
  { phase, expect: wanted, ifRejecting, newMayBounce }: Expectation, unknown: Unknown,
  sender: Postfix, mariadb: Mariadb, earlier: readonly string[],
): Promise<{ report: MxReport, deferred: readonly string[] }> => {
  const expect = unknown === 'reject' ? ifRejecting ?? wanted : wanted
  const recipients = kinds.flatMap(kind => addresses(kind).map(address => ({ kind, address })))
  await mariadb.sql(insertSql(recipients.filter(({ kind }) => kind === 'new').map(({ address }) => address)))
  const from = sender.log().length
  // Now Postfix retries the mail that it has deferred.
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
  const [fates, hasty] = [noFates(), noFates()]
  const evidence: string[] = []
  const missed: string[] = []
  const deferred: string[] = []
  for (const { kind, address } of recipients) {
    const [fate, line] = await fateOf(sender, address, from)
    if (isHasty(address)) hasty[kind][fate]++
    else fates[kind][fate]++
    if (fate === 'deferred') deferred.push(address)
    const isMissed = !isHasty(address) ? fate !== expect[kind]
      : kind === 'known' ? fate !== 'sent' : kind === 'mistyped' && fate === 'sent'
    if (isMissed) missed.push(`${kind} ${fate}: ${line}`)
    if (fate === 'bounced' && (kind === 'known' || (kind === 'new' && newMayBounce !== true))) evidence.push(line)
  }
  const seconds = (performance.now() - startedAt) / 1_000
  for (const address of earlier) {
    const [fate, line] = await fateOf(sender, address, from)
    if (fate === 'deferred') deferred.push(address)
    const isValid = address.startsWith('new')
    if (isValid && fate === 'bounced') evidence.push(line)
    if (!isHasty(address) && fate !== expect[isValid ? 'new' : 'mistyped']) missed.push(`deferred before, now ${fate}: ${line}`)
  }
  return { report: { phase: `unknown: ${unknown}: ${phase}`, fates, hasty, seconds, evidence, missed }, deferred }
}

/** Runs the drill, first with primaries that defer absent recipients, then with primaries that reject them. */
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
    const port = await freePort()
    const nodes: Node[] = []
    for (let count = 0; count < primaryCount; count++) {
      nodes.push(await startNode(mariadb, { role: 'primary', unknown }, hostOf(count), port, stops))
    }
    const fallback = await startNode(mariadb, { role: 'fallback' }, hostOf(primaryCount), port, stops)
    const names = await startNames(nodes, fallback)
    stops.push(() => names.stop())
    const sender = await startSender(names, port)
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

const fatesText = (fates: Readonly<Record<Fate, number>>): string =>
  Object.entries(fates).map(([fate, count]) => `${fate} ${count}`.padEnd(14)).join('').trimEnd()

/** Writes a phase for people. */
export const mxText = ({ phase, fates, hasty, seconds, evidence, missed }: MxReport): string => [
  `${phase} (${seconds.toFixed(1)} s)`,
  ...kinds.map(kind => `  ${kind.padEnd(10)}${fatesText(fates[kind])}`),
  ...kinds.map(kind => `  hasty sender: ${kind.padEnd(10)}${fatesText(hasty[kind])}`),
  ...evidence.map(line => `    VALID BUT BOUNCED: ${line}`),
  ...missed.slice(0, 6).map(line => `    unlike expected: ${line}`),
].join('\n')
