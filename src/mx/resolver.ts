/**
 * What DNS says of a name, with "could not be asked" apart from "there is none". The client is Node's own (c-ares): it
 * asks again by TCP where an answer was cut, and follows aliases.
 */
import { Resolver as Client } from 'node:dns/promises'
import { messageOf } from '../log.js'

export type DnsAnswer<Data> =
  | { readonly kind: 'found', readonly data: Data }
  /** The name has no record of this type, or does not exist at all. */
  | { readonly kind: 'none', readonly isName: boolean }
  /** No answer, or one that says nothing: a time-out, SERVFAIL, REFUSED. */
  | { readonly kind: 'unknown', readonly why: string }

export type MxRecord = { readonly number: number, readonly host: string }

export type DnsResolver = {
  /** By their numbers. */
  mx(name: string): Promise<DnsAnswer<readonly MxRecord[]>>
  /** IPv4 and IPv6. */
  addresses(name: string): Promise<DnsAnswer<readonly string[]>>
  /** The name that it is an alias of. */
  alias(name: string): Promise<DnsAnswer<string>>
  /** Whether it is the top of a zone. */
  isZone(name: string): Promise<DnsAnswer<true>>
}

/** A resolver may itself ask others. A second try takes twice as long. */
const timeoutMs = 5_000
const tries = 2
/**
 * After so many questions in a row without any answer the resolver is asked for the root. Without an answer to that it
 * counts as gone, and no more are asked; else these names are of zones whose own servers are gone.
 */
const maxSilent = 64

const gone = { kind: 'unknown', why: 'the resolver does not answer' } as const

const ask = async <Data>(question: () => Promise<Data>): Promise<DnsAnswer<Data>> => {
  try {
    const data = await question()
    // An alias of a name that has no such record.
    return Array.isArray(data) && data.length === 0 ? { kind: 'none', isName: true } : { kind: 'found', data }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    switch (code) {
      case 'ENODATA': return { kind: 'none', isName: true }
      case 'ENOTFOUND': case 'EBADNAME': return { kind: 'none', isName: false }
      case 'ETIMEOUT': return { kind: 'unknown', why: 'no answer in time' }
      case 'ESERVFAIL': return { kind: 'unknown', why: 'the resolver could not find out (SERVFAIL)' }
      case 'EREFUSED': return { kind: 'unknown', why: 'the resolver refuses to answer (REFUSED)' }
      default: return { kind: 'unknown', why: messageOf(error) }
    }
  }
}

const isSilence = (answer: DnsAnswer<unknown>): boolean =>
  answer.kind === 'unknown' && !/SERVFAIL|REFUSED|connection refused/.test(answer.why)

/** Asks this resolver (`ADDRESS` or `ADDRESS:PORT`), or the system's. */
export const openDns = (server: string | null): DnsResolver => {
  const underWay = new Set<Client>()
  // One for each question: from quick answers a client learns to wait less for the slow ones.
  const withClient = async <Data>(question: (client: Client) => Promise<Data>): Promise<DnsAnswer<Data>> => {
    const client = new Client({ timeout: timeoutMs, tries })
    if (server !== null) client.setServers([server])
    underWay.add(client)
    const answer = await ask(() => question(client))
    underWay.delete(client)
    return answer
  }
  let silent = 0
  let isGone = false
  let control: Promise<boolean> | null = null
  const isThere = async (): Promise<boolean> => {
    const isAnswered = !isSilence(await withClient(client => client.resolveNs('.')))
    if (isAnswered) silent = 0
    control = null
    return isAnswered
  }
  const counted = async <Data>(question: (client: Client) => Promise<Data>): Promise<DnsAnswer<Data>> => {
    if (isGone) return gone
    const answer = await withClient(question)
    silent = isSilence(answer) ? silent + 1 : 0
    if (silent < maxSilent || await (control ??= isThere())) return answer
    isGone = true
    for (const client of underWay) client.cancel()
    return gone
  }
  return {
    mx: name => counted(async client => (await client.resolveMx(name))
      .map(({ priority, exchange }) => ({ number: priority, host: exchange.toLowerCase() }))
      .sort((a, b) => a.number - b.number || a.host.localeCompare(b.host))),
    addresses: async name => {
      const old = await counted(client => client.resolve4(name))
      if (old.kind === 'none' && !old.isName) return old
      const answer = await counted(client => client.resolve6(name))
      if (old.kind === 'found' && answer.kind === 'found') {
        return { kind: 'found', data: [...old.data, ...answer.data] }
      }
      return answer.kind === 'found' || old.kind === 'none' ? answer : old
    },
    alias: name => counted(async client => (await client.resolveCname(name))[0] ?? name),
    isZone: async name => {
      const answer = await counted(async client => [await client.resolveSoa(name)])
      // What c-ares says of the answer for an alias.
      if (answer.kind === 'unknown' && answer.why.includes('EBADRESP')) return { kind: 'none', isName: true }
      return answer.kind === 'found' ? { kind: 'found', data: true } : answer
    },
  }
}
