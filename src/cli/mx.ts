/**
 * `holdfast mx`: looks up the mail exchangers of the domains that mail is taken for, and says where they are not what
 * the set-up wants: primaries first, the fallback last and alone.
 */
import type { Config } from '../config/config.js'
import { isDnsServer, noDnsServer } from '../config/endpoint.js'
import { openMapSources } from '../daemon/open_sources.js'
import type { Fleet } from '../fleet/fleet_status.js'
import type { Problem } from '../log.js'
import { checkDomains } from '../mx/check_domains.js'
import type { DomainMx } from '../mx/check_domains.js'
import { listDomains } from '../mx/domains.js'
import type { MxDomains } from '../mx/domains.js'
import { rolesOf } from '../mx/mx_watch.js'
import { openDns } from '../mx/resolver.js'
import type { DnsResolver } from '../mx/resolver.js'
import { faultKinds, faultTexts, mxNodes } from '../mx/verdict.js'
import { fold } from '../postfix/fold.js'
import { takeCopy } from '../upkeep/take_copy.js'
import { adminIn, call, configOf, reportOfDaemon } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'
import { Failure, exitConfig, exitTempfail, exitUsage, painter, terminalLog } from './terminal.js'
import type { Paint } from './terminal.js'

export type MxOptions = Pick<DaemonOptions, 'config'> & { readonly json?: true, readonly resolver?: string }

/** Questions to DNS at a time. */
const maxUnderWay = 64
/** Of one kind of fault so many domains are printed. */
const maxExamples = 5
/** A table of more rows is not listed. */
const maxRows = 1_000_000
const budgetMs = 5_000
/** The time between two changes of the progress line. */
const progressMs = 100

/** The domains in the copies of the running daemon; null if it can't be asked, or doesn't have all of them. */
const domainsOfDaemon = async (config: Config): Promise<MxDomains | null> => {
  const address = adminIn(config)
  const list = address === undefined ? null : await call(address, '/domains').catch(() => null) as MxDomains | null
  return list?.problems.length === 0 ? list : null
}

/** The domains in the tables themselves. */
const domainsInTables = async (config: Config, process: NodeJS.Process): Promise<MxDomains> => {
  const { sources, faults } = openMapSources(config, terminalLog('error', process))
  const list = await listDomains(config, sources, (_map, table) =>
    takeCopy(table, { maxRows, budgetMs, now: Date.now, onRows: () => Promise.resolve(null) }))
  sources.close()
  const faulty = [...config.faults.keys(), ...faults.keys()]
  const problems = faulty.map(map => ({ place: `map ${map}`, text: 'its definition has faults' }))
  return { ...list, problems: [...list.problems, ...problems] }
}

/** The nodes that the running daemon knows of; none if it can't be asked. */
const fleetOfDaemon = async (config: Config): Promise<Fleet['nodes']> => {
  const report = config.redis === null ? null : await reportOfDaemon(config)
  return report?.fleet?.nodes ?? []
}

const dnsAt = (server: string | undefined, { file }: Config): DnsResolver => {
  if (server === undefined || isDnsServer(server)) return openDns(server ?? file.mx_resolver ?? null)
  throw new Failure(exitUsage, `--resolver: ${noDnsServer(server)}`)
}

const figure = (count: number): string => count.toLocaleString('en')
const domainCount = (count: number): string => `${figure(count)} ${count === 1 ? 'domain' : 'domains'}`

/** A progress line, on a terminal only. */
const progress = ({ stderr }: NodeJS.Process, total: number): { show(done: number): void, end(): void } => {
  let shownAt = 0
  return {
    show: done => {
      if (!stderr.isTTY || performance.now() - shownAt < progressMs) return
      shownAt = performance.now()
      stderr.write(`\r\x1b[K${figure(done)} of ${domainCount(total)}`)
    },
    end: () => { if (stderr.isTTY) stderr.write('\r\x1b[K') },
  }
}

/** Domains with the same trouble: how many, what it is, and some of them. */
const group = (title: string, lines: readonly string[], paint: Paint): string => {
  const more = lines.length - maxExamples
  return [
    `${paint('bold', `${title} (${domainCount(lines.length)})`)}\n`,
    ...lines.slice(0, maxExamples).map(line => `  ${line}\n`),
    ...more > 0 ? [`  and ${figure(more)} more\n`] : [],
  ].join('')
}

const recordsText = ({ mx }: DomainMx): string =>
  mx.map(({ number, host }) => `${number} ${host === '' ? '.' : host}`).join(', ')

const reportText = (verdicts: readonly DomainMx[], paint: Paint): string => {
  const groups = faultKinds.flatMap(kind => {
    const lines = verdicts.flatMap(verdict => verdict.faults.filter(fault => fault.kind === kind).map(({ hosts }) =>
      [verdict.domain, ...hosts.length === 0 ? [] : [hosts.join(', ')], ...verdict.mx.length === 0 ? []
        : [`MX ${recordsText(verdict)}`]].join(': ')))
    return lines.length === 0 ? [] : [group(faultTexts[kind], lines, paint)]
  })
  const unknown = verdicts.filter(verdict => verdict.unknown !== '')
  if (unknown.length > 0) {
    groups.push(group('DNS could not be asked', unknown.map(verdict => `${verdict.domain}: ${verdict.unknown}`), paint))
  }
  const { right, wrong } = sumOf(verdicts)
  const sum = `${figure(right)} of ${domainCount(verdicts.length)} right, ${figure(wrong)} to mend, `
    + `${figure(unknown.length)} not known`
  return [...groups, paint(right === verdicts.length ? 'green' : 'bold', `${sum}\n`)].join('')
}

const sumOf = (verdicts: readonly DomainMx[]) => {
  const count = (is: (verdict: DomainMx) => boolean): number => verdicts.filter(is).length
  return {
    right: count(({ faults, unknown }) => faults.length === 0 && unknown === ''),
    wrong: count(({ faults }) => faults.length > 0), unknown: count(({ unknown }) => unknown !== ''),
  }
}

const notesOn = ({ primaries, hasFallback }: ReturnType<typeof mxNodes>): readonly string[] => [
  ...primaries === null ? ['no primary is known by its name, so every host but the fallback counts as one: name them '
    + 'under `role:`'] : [],
  ...hasFallback ? [] : ['no node is a fallback, so none is looked for'],
]

/**
 * Prints what is wrong. Exit code: 0 if all is right, 1 if something is to mend, 75 if DNS or the tables could not be
 * asked for all of it. Throws Failure: 64 if --resolver is no address, 78 if the configuration is wrong or no map has
 * domains.
 */
export const mx = async (named: readonly string[], options: MxOptions, process: NodeJS.Process): Promise<number> => {
  const config = await configOf(options, process.env)
  const dns = dnsAt(options.resolver, config)
  const given = [...new Set(named.map(domain => fold(domain.replace(/\.$/, ''))))]
  const { domains, problems }: MxDomains = given.length > 0 ? { domains: given, problems: [] }
    : await domainsOfDaemon(config) ?? await domainsInTables(config, process)
  const complain = (text: string): void => void process.stderr.write(`holdfast mx: ${text}\n`)
  const report = ({ place, text }: Problem): void => complain(`${place}: its domains can't be listed: ${text}`)
  problems.forEach(report)
  if (domains.length === 0 && problems.length === 0) {
    throw new Failure(exitConfig, 'no map lists domains (`search: domain`, or `exact` with `absence: refuses`): '
      + 'name some on the command line')
  }
  const nodes = mxNodes(rolesOf(config.node, await fleetOfDaemon(config)))
  const line = progress(process, domains.length)
  const verdicts = await checkDomains({
    domains, nodes, primaries: config.file.mx_primaries, dns, maxUnderWay, onProgress: done => line.show(done),
  })
  line.end()
  const sum = sumOf(verdicts)
  process.stdout.write(options.json === true ? `${JSON.stringify({ domains: verdicts, problems, ...sum }, null, 2)}\n`
    : reportText(verdicts, painter(process)))
  for (const note of notesOn(nodes)) complain(note)
  return sum.wrong > 0 ? 1 : sum.unknown > 0 || problems.length > 0 ? exitTempfail : 0
}
