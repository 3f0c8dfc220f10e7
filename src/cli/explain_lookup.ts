/**
 * `holdfast explain`: goes the way of a mail to an address, and of one from it, through the maps that Postfix asks of
 * this Holdfast: what each answers now, where that comes from, and what it would answer without MySQL.
 */
import { isIP } from 'node:net'
import type { Explained, ExplainedEntry, ExplainedStep, Origin } from '../admin/explain.js'
import type { Report } from '../admin/summary.js'
import { keysAt, likelyStops, stopsOf } from '../check/itinerary.js'
import type { Party, Stop } from '../check/itinerary.js'
import { askingOf } from '../check/postfix.js'
import { loadConfig } from '../config/load.js'
import type { Endpoint } from '../config/endpoint.js'
import { messageOf } from '../log.js'
import { domainOf } from '../postfix/address.js'
import type { SearchSettings } from '../postfix/parameters.js'
import { adminAt, call } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { painter, span } from './terminal.js'
import type { Paint } from './terminal.js'

export type ExplainOptions = DaemonOptions & {
  readonly map?: string, readonly json?: true, readonly configDir: string
}

/** A stop with what its map says of each key, up to the first that is found. */
type Visit = { readonly stop: Stop, readonly explained: readonly Explained[] }

type Leg = { readonly title: string, readonly party: Party, readonly visits: readonly Visit[] }

/** More addresses than this are not followed. */
const maxAddresses = 50
/** In one request; the daemon takes 64 KB. */
const maxQuestions = 20

/** What asks the daemon, and what Postfix would ask it. */
type Guide = {
  readonly admin: Endpoint
  readonly stops: readonly Stop[]
  readonly settings: SearchSettings
  /** Why Postfix's parameters are not known; '' if they are. */
  readonly note: string
}

const noSettings: SearchSettings = {
  recipientDelimiter: '', parentDomainMatchesSubdomains: new Set(), propagateUnmatchedExtensions: new Set(),
  localDomains: new Set(),
}

const guideOf = async (options: ExplainOptions, process: NodeJS.Process): Promise<Guide> => {
  const admin = await adminAt(options, process)
  const loaded = loadConfig(options.config, process.env)
  const settings = loaded.ok ? loaded.config.search : noSettings
  let note = `${options.configDir} asks nothing of this Holdfast, so each map is asked once`
  try {
    const asking = loaded.ok ? await askingOf(options.configDir, loaded.config) : null
    const stops = stopsOf(asking?.uses ?? [])
    if (stops.length > 0) return { admin, settings, stops, note: '' }
  } catch (error) {
    note = `each map is asked once, for Postfix's parameters can't be read: ${messageOf(error)}`
  }
  const { maps } = await call(admin, '/status') as Report
  return { admin, settings, stops: likelyStops(maps), note }
}

type AskedKey = { readonly map: string, readonly asked: string }

/** The daemon's answers to all questions, in their order. Throws Failure if it can't be asked, or refuses. */
const askAll = async (admin: Endpoint, questions: readonly AskedKey[]): Promise<readonly Explained[]> => {
  const answers: Explained[] = []
  for (let at = 0; at < questions.length; at += maxQuestions) {
    const some = questions.slice(at, at + maxQuestions)
    answers.push(...await call(admin, '/explain', { questions: some }) as Explained[])
  }
  return answers
}

const visitAll = async (
  { admin, stops, settings }: Guide, party: Party, address: string,
): Promise<readonly Visit[]> => {
  const asked = stops.map(stop => ({ stop, keys: keysAt(stop, party, address, settings) }))
    .filter(({ keys }) => keys.length > 0)
  const answers = await askAll(
    admin, asked.flatMap(({ stop: { map }, keys }) => keys.map(key => ({ map, asked: key }))),
  )
  let at = 0
  return asked.map(({ stop, keys }) => {
    const its = answers.slice(at, at += keys.length)
    const last = its.findIndex(({ answer }) => answer !== 'absent')
    return { stop, explained: last === -1 ? its : its.slice(0, last + 1) }
  })
}

/** What the visits to that parameter found: the first table that has it answers. */
const foundAt = (visits: readonly Visit[], ...names: readonly string[]): string | null => {
  for (const { stop, explained } of visits) {
    const value = names.includes(stop.name) ? explained.at(-1)?.value ?? null : null
    if (value !== null) return value
  }
  return null
}

/** The addresses that a mail to this one goes on to, each with how. */
const targetsOf = (visits: readonly Visit[]): readonly (readonly [address: string, how: string])[] => {
  const ways = [
    ['is rewritten to', foundAt(visits, 'recipient_canonical_maps') ?? foundAt(visits, 'canonical_maps')],
    ['is an alias of', foundAt(visits, 'virtual_alias_maps', 'virtual_maps')],
    ['is copied to', foundAt(visits, 'recipient_bcc_maps')],
  ] as const
  return ways.flatMap(([how, value]) =>
    (value ?? '').split(/[,\s]+/).filter(address => address !== '').map(address => [address, how] as const))
}

/** Where smtp(8) would take a mail: what the route says, else the recipient's domain. */
const nextHopOf = (visits: readonly Visit[], address: string): string => {
  const [, hop = ''] = /^[^:]*:(.*)$/s.exec(foundAt(visits, 'transport_maps') ?? '') ?? []
  return hop === '' ? domainOf(address) : hop
}

/** The way to each address that a mail to `address` reaches. */
const legsTo = async (guide: Guide, address: string): Promise<readonly Leg[]> => {
  const legs: Leg[] = []
  const seen = new Set([address])
  const waiting: { address: string, title: string }[] = [{ address, title: `Mail to ${address}` }]
  for (let next = waiting.shift(); next !== undefined && legs.length < 2 * maxAddresses; next = waiting.shift()) {
    const party = next.address === address ? 'recipient' : 'target'
    const visits = await visitAll(guide, party, next.address)
    legs.push({ title: next.title, party, visits })
    const hops = await visitAll(guide, 'next hop', nextHopOf(visits, next.address))
    if (hops.length > 0) legs.push({
      title: `If smtp(8) delivers mail to ${next.address}`, party: 'next hop', visits: hops,
    })
    for (const [target, how] of targetsOf(visits)) {
      if (seen.has(target) || seen.size >= maxAddresses) continue
      seen.add(target)
      waiting.push({ address: target, title: `${next.address} ${how} ${target}` })
    }
  }
  return legs
}

const legsOf = async (guide: Guide, address: string): Promise<readonly Leg[]> => {
  const one = async (party: Party, title: string): Promise<readonly Leg[]> => {
    const visits = await visitAll(guide, party, address)
    return visits.length === 0 ? [] : [{ title, party, visits }]
  }
  if (isIP(address) !== 0) return one('client', `A client at ${address}`)
  if (!address.includes('@')) {
    return [...await legsTo(guide, address), ...await one('client', `A client named ${address}`)]
  }
  return [...await legsTo(guide, address), ...await one('sender', `Mail from ${address}`)]
}

const entryText = (where: string, entry: ExplainedEntry, now: number, paint: Paint): string => {
  const contradicted = entry.contradictedAt === 0 ? '' : ', but a server says absent since then'
  const age = `${entry.age}, verified ${span(now - entry.verifiedAt)} ago${contradicted}`
  return `    ${where}: ${entry.answer} ${paint('dim', `(${age})`)}\n`
}

const stepText = ({ key, memory, redis, copy, tables }: ExplainedStep, now: number, paint: Paint): string => [
  `  ${key}\n`,
  ...memory === null ? [] : [entryText('memory', memory, now, paint)],
  ...redis === null ? [] : [entryText('Redis', redis, now, paint)],
  ...copy === null ? [] : [
    `    copy: ${copy.answer} ${paint('dim', `(for outages, taken ${span(now - copy.takenAt)} ago)`)}\n`,
  ],
  ...tables.map(({ server, answer }) => `    table${server === '' ? '' : ` on ${server}`}: ${answer}\n`),
].join('')

const colorOf = (answer: string): 'red' | 'yellow' | 'green' =>
  answer.startsWith('unavailable') || answer === 'deferred' ? 'red' : answer.startsWith('stale') ? 'yellow' : 'green'

const originText = (origin: Origin | null, now: number): string => {
  if (origin === null) return ''
  return ` (from ${origin.from}${origin.at === null ? '' : `, ${span(now - origin.at)} old`})`
}

const explainedText = (explained: Explained, now: number, paint: Paint): string => {
  const { map, search, asked, steps, answer, origin, outage, doubts } = explained
  return [
    `${map} (${search}), asked for ${asked}\n`,
    ...steps.map(step => stepText(step, now, paint)),
    ...doubts.map(({ since, what }) => `  ${paint('red', 'in doubt')} for ${span(now - since)}: ${what}\n`),
    `  -> ${paint(colorOf(answer), answer)}${originText(origin, now)}\n`,
    ...outage === null ? [] : [
      `  without MySQL: ${paint(colorOf(outage.answer), outage.answer)}${originText(outage.origin, now)}`
      + `${outage.why === '' ? '' : `: ${outage.why}`}\n`,
    ],
  ].join('')
}

const legText = ({ title, visits }: Leg, now: number, paint: Paint): string => [
  `${paint('bold', title)}\n\n`,
  ...visits.map(({ stop: { name, places }, explained }) => [
    ...places.length === 0 ? [] : [
      `${name}${places.every(place => place === name) ? '' : ` in ${places.join(', ')}`}: `,
    ],
    explained.map(each => explainedText(each, now, paint)).join(''), '\n',
  ].join('')),
].join('')

/** The maps that would defer mail: now, or without MySQL. */
const deferring = (legs: readonly Leg[], isDeferred: (explained: Explained) => string | null): readonly string[] =>
  [...new Set(legs.flatMap(({ visits }) => visits.flatMap(({ stop, explained }) => explained.flatMap(each => {
    const why = isDeferred(each)
    const name = stop.places.length === 0 ? `map ${each.map}` : `${stop.name} (map ${each.map})`
    return why === null ? [] : [`  ${name}, asked for ${each.asked}: ${why}\n`]
  }))))]

/** Whether mail passes now and would pass without MySQL, and what stands in its way. */
const verdict = (legs: readonly Leg[], paint: Paint): string => {
  const now = deferring(legs, ({ answer }) => answer.startsWith('unavailable') ? answer : null)
  const outage = deferring(legs, ({ outage: without }) => without?.answer === 'deferred' ? without.why : null)
  return [
    now.length === 0 ? `${paint('green', 'Now every lookup is answered.')}\n`
      : `${paint('red', 'Mail is deferred now:')}\n${now.join('')}`,
    outage.length === 0 ? `${paint('green', 'Without MySQL, every lookup would be answered, too.')}\n`
      : `${paint('red', 'Without MySQL, mail would be deferred:')}\n${outage.join('')}`,
  ].join('')
}

/** Prints the way of a mail through the maps. Throws Failure if the daemon can't be asked, or refuses. */
export const explain = async (address: string, options: ExplainOptions, process: NodeJS.Process): Promise<number> => {
  const guide = await guideOf(options, process)
  const stops = options.map === undefined ? guide.stops : guide.stops.filter(({ map }) => map === options.map)
  const legs = await legsOf({ ...guide, stops }, address)
  const paint = painter(process)
  process.stdout.write(options.json === true ? `${JSON.stringify(legs, null, 2)}\n` : [
    ...guide.note === '' ? [] : [`${paint('dim', guide.note)}\n\n`],
    ...legs.map(leg => legText(leg, Date.now(), paint)), verdict(legs, paint),
  ].join(''))
  return 0
}
