/**
 * Mail by SMTP: how many messages per second a Postfix accepts and discards, and
 * what each costs, with its tables in text files, behind `mysql:`, `proxy:mysql:`,
 * `memcache:` and Holdfast. Each round measures every way once; the figures are
 * the medians of the rounds.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { run } from '../fixtures/child.js'
import { smtpSession } from '../fixtures/smtp.js'
import { cpuSeconds, familySeconds } from './accounts.js'
import { insertRecipients, masterPid, startMailStage } from './mail_stage.js'
import type { Contestant, MailStage, Platform, Way } from './mail_stage.js'
import { median } from './median.js'

const sessions = 20
/** The number of sessions while the time of a RCPT is measured: a mail host seldom has more at once. */
const patientSessions = 4

export const loads = ['known', 'new', 'unknown', 'known beside an attack', 'all maps'] as const
export type MailLoad = typeof loads[number]

/** The figures of one way in one round, for a message, or for a RCPT with the load "unknown". */
type Turn = {
  readonly perSecond: number
  readonly postfixCpuMs: number
  readonly holdfastCpuMs: number
  readonly mysqlCpuMs: number
  readonly cacheCpuMs: number
  readonly statements: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export type MailRow = Turn & {
  readonly load: MailLoad
  /** The delay between MySQL and each of its clients, one way (ms). */
  readonly distanceMs: number
  readonly way: Way
  readonly rounds: readonly Turn[]
}

export type MailRatio = { readonly name: string, readonly value: number, readonly aim: string }

export type MailExtent = {
  readonly messages: number
  readonly rounds: number
  readonly distancesMs: readonly number[]
  readonly loads: readonly MailLoad[]
  readonly ways: readonly Way[]
  /**
   * Each way takes mail for so many recipients, and is asked for as many that don't exist, before it is measured; none
   * of them is asked for again. A mail host runs for weeks, so the time in which Node compiles and Postfix starts its
   * processes must not count.
   */
  readonly warmup: number
}

const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN

const medianTurn = (turns: readonly Turn[]): Turn => {
  const of = (field: keyof Turn): number => median(turns.map(turn => turn[field]))
  return {
    perSecond: of('perSecond'), postfixCpuMs: of('postfixCpuMs'), holdfastCpuMs: of('holdfastCpuMs'),
    mysqlCpuMs: of('mysqlCpuMs'), cacheCpuMs: of('cacheCpuMs'), statements: of('statements'),
    p50Ms: of('p50Ms'), p99Ms: of('p99Ms'),
  }
}

/** Waits until Postfix has delivered everything; rejects if it deferred a message. */
const drained = async ({ postfix }: Contestant): Promise<void> => {
  const count = (queue: string): number =>
    readdirSync(join(postfix.queueDir, queue), { recursive: true, withFileTypes: true })
      .filter(file => file.isFile()).length
  for (;;) {
    if (count('deferred') > 0) throw new Error(`Postfix deferred mail:\n${postfix.log().slice(-2_000)}`)
    if (count('maildrop') + count('incoming') + count('active') === 0) return
    await setTimeout(10)
  }
}

/** Sends messages to recipients that smtp-source(1) makes of `prefix`, and waits for the last delivery. */
const sendMessages = async (contestant: Contestant, messages: number, prefix = 'box'): Promise<void> => {
  const { code, stderr } = await run('smtp-source', [
    '-s', String(sessions), '-m', String(messages), '-N', '-l', '500', '-f', 'sender@elsewhere.example',
    '-t', `${prefix}@relay.example`, `inet:127.0.0.1:${contestant.postfix.smtpPort}`,
  ])
  if (code !== 0) throw new Error(`smtp-source: ${stderr}`)
  await drained(contestant)
}

/** Sends a RCPT for each recipient, over `count` sessions at once; resolves with the time of each RCPT (ms). */
const askRecipients = async (
  contestant: Contestant, count: number, recipients: readonly string[], expected: number,
): Promise<readonly number[]> => {
  const times: number[] = []
  const waiting = recipients.values()
  await Promise.all(Array.from({ length: count }, async () => {
    const session = await smtpSession(contestant.postfix.smtpPort)
    await session.mail('sender@elsewhere.example')
    for (const recipient of waiting) {
      const { code, text, ms } = await session.rcpt(recipient)
      if (code !== expected) throw new Error(`${contestant.way}: RCPT TO:<${recipient}>: ${code} ${text}`)
      times.push(ms)
    }
    await session.quit()
  }))
  return times
}

/** Runs `work`, which handles `count` messages or RCPTs; resolves with what one of them cost. */
const account = async (
  stage: MailStage, contestant: Contestant, count: number, work: () => Promise<readonly number[]>,
): Promise<Turn> => {
  const master = masterPid(contestant.postfix)
  const read = async () => {
    const { holdfast, cache } = contestant.helpers()
    const [questions] = await stage.mariadb.sql("SHOW GLOBAL STATUS LIKE 'Com_select'")
    return {
      postfix: familySeconds(master),
      holdfast: cpuSeconds(holdfast),
      cache: cpuSeconds(cache),
      mysql: cpuSeconds([stage.mariadb.pid()]),
      statements: Number(questions?.['Value']),
    }
  }
  const before = await read()
  const start = performance.now()
  const times = await work()
  const seconds = (performance.now() - start) / 1e3
  const after = await read()
  const perItemMs = (field: 'postfix' | 'holdfast' | 'cache' | 'mysql'): number =>
    (after[field] - before[field]) * 1e3 / count
  return {
    perSecond: count / seconds,
    postfixCpuMs: perItemMs('postfix'), holdfastCpuMs: perItemMs('holdfast'),
    mysqlCpuMs: perItemMs('mysql'), cacheCpuMs: perItemMs('cache'),
    statements: (after.statements - before.statements) / count,
    p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99),
  }
}

/** Measures one contestant under one load. No two calls have the same `turn`, so that "new" recipients are new. */
const takeTurn = async (
  stage: MailStage, contestant: Contestant, load: MailLoad, messages: number, turn: number,
): Promise<Turn> => {
  const numbers = Array.from({ length: messages }, (_, n) => n + 1)
  switch (load) {
    case 'known':
    case 'all maps': {
      const sent = await account(stage, contestant, messages, async () => {
        await sendMessages(contestant, messages)
        return []
      })
      const times = await askRecipients(contestant, patientSessions, numbers.map(n => `${n}box@relay.example`), 250)
      return { ...sent, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) }
    }
    case 'new':
      return account(stage, contestant, messages, async () => {
        await sendMessages(contestant, messages, `new${turn}n`)
        return []
      })
    case 'unknown':
      return account(stage, contestant, messages, () =>
        askRecipients(contestant, sessions, numbers.map(n => `nobody${turn}x${n}@relay.example`), 550))
    case 'known beside an attack': {
      const end = new AbortController()
      const attack = (async () => {
        for (let part = 0; !end.signal.aborted; part += 1) {
          const recipients = numbers.slice(0, 200).map(n => `nobody${turn}y${part}z${n}@relay.example`)
          await askRecipients(contestant, sessions, recipients, 550)
        }
      })()
      try {
        return await account(stage, contestant, messages, async () => {
          await sendMessages(contestant, messages)
          return []
        })
      } finally {
        end.abort()
        await attack
      }
    }
    default: return load satisfies never
  }
}

const heading = `${'load'.padEnd(24)}${'MySQL'.padStart(6)} ${'tables'.padEnd(17)}${'per s'.padStart(7)}`
  + `${'Postfix ms'.padStart(12)}${'Holdfast'.padStart(10)}${'cache'.padStart(8)}${'MySQL'.padStart(8)}${'stmts'.padStart(8)}`
  + `${'p50 ms'.padStart(9)}${'p99 ms'.padStart(9)}`

const line = (row: MailRow): string => {
  const show = (value: number, digits: number, width: number): string =>
    (Number.isNaN(value) ? '' : value.toFixed(digits)).padStart(width)
  return `${row.load.padEnd(24)}${`${row.distanceMs} ms`.padStart(6)} ${row.way.padEnd(17)}${show(row.perSecond, 0, 7)}`
    + `${show(row.postfixCpuMs, 2, 12)}${show(row.holdfastCpuMs, 2, 10)}${show(row.cacheCpuMs, 2, 8)}`
    + show(row.mysqlCpuMs, 2, 8)
    + `${show(row.statements, 2, 8)}${show(row.p50Ms, 1, 9)}${show(row.p99Ms, 1, 9)}`
}

/** The ratios for which there are aims: the median of the rounds' ratios. */
export const mailRatios = (rows: readonly MailRow[]): readonly MailRatio[] => {
  const result: MailRatio[] = []
  const find = (load: MailLoad, distanceMs: number, way: Way): MailRow | undefined =>
    rows.find(row => row.load === load && row.distanceMs === distanceMs && row.way === way)
  const add = (load: MailLoad, distanceMs: number, way: Way, other: MailRow | undefined, to: string, aim: string): void => {
    const row = find(load, distanceMs, way)
    if (row === undefined || other === undefined) return
    const values = row.rounds.flatMap((turn, round) => {
      const against = other.rounds[round]
      return against === undefined ? [] : [turn.perSecond / against.perSecond]
    })
    result.push({ name: `${load}, MySQL at ${distanceMs} ms, ${way} to ${to}`, value: median(values), aim })
  }
  for (const way of ['Holdfast', 'Holdfast, Redis'] as const) {
    add('known', 0, way, find('known', 0, 'mysql:'), 'mysql:', 'at least 1.15')
    add('known', 1, way, find('known', 1, 'mysql:'), 'mysql:', 'at least 2')
    add('known', 5, way, find('known', 5, 'mysql:'), 'mysql:', '')
    add('known', 0, way, find('known', 0, 'text tables'), 'text tables', 'at least 0.8')
    for (const distanceMs of [0, 1, 5]) add('new', distanceMs, way, find('new', distanceMs, 'mysql:'), 'mysql:', 'at least 1')
    add('unknown', 0, way, find('unknown', 0, 'mysql:'), 'mysql:', 'at least 1')
    add('known beside an attack', 0, way, find('known', 0, way), 'itself without the attack', 'at least 0.5')
    add('all maps', 0, way, find('all maps', 0, 'proxy:mysql:'), 'proxy:mysql:', 'at least 1.5')
    const cpu = find('new', 0, way)?.holdfastCpuMs
    if (cpu !== undefined) result.push({ name: `new, CPU ms a message, ${way}`, value: cpu, aim: 'at most 0.45' })
  }
  return result
}

/** Runs all loads at all distances; `say` gets each row when it is measured, then the ratios. */
export const runMail = async (
  { messages, rounds, distancesMs, loads: chosen, ways: chosenWays, warmup }: MailExtent, say: (text: string) => void,
): Promise<{ readonly rows: readonly MailRow[], readonly ratios: readonly MailRatio[] }> => {
  const rows: MailRow[] = []
  const stage = await startMailStage(messages)
  let turn = 0
  const addNew = async (count: number): Promise<string> => {
    turn += 1
    await stage.mariadb.sql(insertRecipients(`new${turn}n`, count))
    return `new${turn}n`
  }
  const warmUp = async (contestant: Contestant): Promise<void> => {
    if (contestant.way !== 'text tables') await sendMessages(contestant, warmup, await addNew(warmup))
    const strangers = Array.from({ length: warmup }, (_, n) => `nobody${turn}w${n}@relay.example`)
    await askRecipients(contestant, sessions, strangers, 550)
    await sendMessages(contestant, messages)
  }
  say(heading)
  try {
    for (const distanceMs of distancesMs) {
      if (distanceMs === 0) await stage.proxy.pass()
      else stage.proxy.slow(distanceMs)
      const wanted = chosen.filter(load => distanceMs === 0 || load === 'known' || load === 'new')
      for (const platform of ['few maps', 'all maps'] as const satisfies readonly Platform[]) {
        const platformLoads = wanted.filter(load => (load === 'all maps') === (platform === 'all maps'))
        if (platformLoads.length === 0) continue
        const contestants: (Contestant & { stop(): Promise<void> })[] = []
        for (const way of chosenWays) {
          // Text tables don't depend on MySQL's distance, and don't get recipients that are inserted later.
          if (way === 'text tables' && distanceMs > 0) continue
          const contestant = await stage.start(way, platform, distanceMs > 0)
          contestants.push(contestant)
          await warmUp(contestant)
        }
        for (const load of platformLoads) {
          const taken = contestants.filter(({ way }) => way !== 'text tables' || load !== 'new')
          const turns = new Map<Way, Turn[]>(taken.map(({ way }) => [way, []]))
          for (let round = 0; round < rounds; round += 1) {
            for (const contestant of taken) {
              if (load === 'new') await addNew(messages)
              else turn += 1
              turns.get(contestant.way)?.push(await takeTurn(stage, contestant, load, messages, turn))
            }
          }
          for (const [way, all] of turns) {
            const row = { load, distanceMs, way, ...medianTurn(all), rounds: all }
            rows.push(row)
            say(line(row))
          }
        }
        for (const contestant of contestants) await contestant.stop()
      }
    }
  } finally {
    await stage.stop()
  }
  const ratios = mailRatios(rows)
  say('')
  for (const { name, value, aim } of ratios) say(`${name.padEnd(64)}${value.toFixed(2).padStart(6)}  ${aim}`)
  return { rows, ratios }
}
