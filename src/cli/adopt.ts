/**
 * `holdfast adopt`: finds the mysql: tables of a Postfix, writes a configuration
 * for them, and prints the commands that switch Postfix over and back. It changes
 * Postfix only with --apply.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { lookup } from 'node:dns/promises'
import { configText, healthPortFor, interfaceNames, outageText, socketPath } from '../adopt/adopted_config.js'
import type { Hosts, Site } from '../adopt/adopted_config.js'
import { charsetNote } from '../adopt/circumstances.js'
import { summaryText } from '../adopt/overview.js'
import { applyChanges, folderOption, shellLines, shellWord, switchBack, switchOver } from '../adopt/switch_over.js'
import { socketInQueue } from '../adopt/draft.js'
import type { AdoptionPlan } from '../adopt/draft.js'
import { planAdoption } from '../adopt/plan.js'
import { guardName } from '../postfix/guarded_lists.js'
import { splitList } from '../postfix/parameter_list.js'
import { placeName, readPostconf, runPostconf } from '../postfix/postconf.js'
import type { Postconf } from '../postfix/postconf.js'
import { groupId } from '../config/endpoint.js'
import { valueInFile } from '../tables/cf.js'
import { defineFromCf } from '../tables/definition.js'
import { standardConfig } from './daemon_at.js'
import { Failure, exitCantCreate, exitConfig, exitTempfail, exitUnavailable } from './terminal.js'
import { askDaemon } from './query.js'
import { messageOf } from '../log.js'

export type AdoptOptions = { readonly configDir: string, readonly output?: string, readonly apply?: true }

const defaultFolder = '/etc/postfix'

/** A key that no table has (RFC 2606), to see whether a map answers. */
const probe = 'holdfast-check@holdfast.invalid'
const probeTimeoutMs = 10_000

/** Why Holdfast can't use the mysql_table(5) file `path`, or null if it can. */
const unsuitable = (path: string): string | null => {
  const defined = defineFromCf(path)
  if (defined.ok) return null
  // The file itself is named beside it.
  return defined.problems.map(({ place, text }) =>
    place === path ? text.replace(`, open '${path}'`, '') : `${place}: ${text}`).join('; ')
}

/** Writes a new file, or says why not. A file with the same text may exist; one with another text is kept. */
const writeConfig = (file: string, text: string): string | null => {
  try {
    writeFileSync(file, text, { flag: 'wx' })
    return null
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) return messageOf(error)
    if (readFileSync(file, 'utf8') === text) return null
    return `${file} exists and has another text: move it away, or name another file`
  }
}

/** The maps for which the running daemon doesn't answer, each with the reason. */
const unanswered = async (postfix: Postconf, plan: AdoptionPlan): Promise<readonly string[]> => {
  const path = socketPath(postfix)
  const names = [...plan.maps.map(({ name }) => name), ...plan.guard.length === 0 ? [] : [guardName]]
  const answers = await Promise.all(names.map(async name => {
    const answer = await askDaemon({ kind: 'unix', path }, name, probe, probeTimeoutMs)
    return answer.kind === 'unavailable' ? [`${name}: ${answer.text}`] : []
  }))
  return answers.flat()
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, '    ')

/** What Postfix and Holdfast do not do alike, as far as these tables have it. */
const differencesText = (postfix: Postconf, { maps }: AdoptionPlan): string =>
  [...new Set(maps.flatMap(({ files }) => files))].flatMap(file => {
    const note = charsetNote(postfix, valueInFile(file, 'charset'))
    return note === null ? [] : [`Note: ${file}: ${note}.\n\n`]
  }).join('')

/** The addresses of the names that main.cf has for interfaces. */
const hostsOf = async (postfix: Postconf): Promise<Hosts> => new Map(await Promise.all(
  interfaceNames(postfix).map(async name => {
    const found = await lookup(name, { all: true }).catch(() => [])
    return [name, found.map(({ address }) => address)] as const
  }),
))

const reloadCommand = (postfix: Postconf): string => ['postfix', ...folderOption(postfix), 'reload'].join(' ')

const backText = (postfix: Postconf, plan: AdoptionPlan): string => {
  const calls = switchBack(postfix, plan).map(call => shellLines(postfix, call))
  return `To switch back:\n\n${indent([...calls, reloadCommand(postfix)].join('\n'))}\n`
}

type NewConfig = { readonly yaml: string, readonly site: Site, readonly output: string | undefined }

/** The addresses of the package's units; a Postfix with another queue folder needs units of its own. */
const packagedSocket = '/var/spool/postfix/holdfast/holdfast.sock'
const packagedUnit = '/usr/lib/systemd/system/holdfast.socket'

/** The commands that start Holdfast: by the package's units where they fit. */
const startLines = (postfix: Postconf, file: string, { group, isService }: Site): readonly string[] => {
  const path = socketPath(postfix)
  if (isService && path === packagedSocket && existsSync(packagedUnit)) {
    return [`holdfast check ${shellWord(file)}`, 'systemctl enable --now holdfast.socket holdfast']
  }
  // The account that the package makes.
  const owner = groupId('holdfast') === null ? 'root' : 'holdfast'
  const mode = group === null ? '0755' : '0750'
  return [
    `install -d -o ${owner} -g ${group ?? 'root'} -m ${mode} ${shellWord(dirname(path))}`,
    ...isService ? [`install -d -o ${owner} -g ${owner} -m 0755 /run/holdfast`] : [],
    `holdfast check ${shellWord(file)}`,
    `holdfast serve ${shellWord(file)}`,
  ]
}

const planText = (postfix: Postconf, plan: AdoptionPlan, { yaml, site, output }: NewConfig): string => {
  const file = output ?? standardConfig
  const option = file === standardConfig ? '' : ` --config ${shellWord(file)}`
  return [
    summaryText(plan), differencesText(postfix, plan),
    'While MySQL is down, known keys are answered from the caches. Others:\n', outageText(plan), '\n',
    output === undefined ? `1. Write the configuration, ${file} (--output FILE does it):\n\n${yaml}\n`
      : `1. The configuration is in ${file}\n\n`,
    '2. Start Holdfast and compare its answers with the tables\':\n\n',
    indent([
      ...startLines(postfix, file, site),
      ...plan.maps.map(({ name }) => `holdfast compare ${shellWord(name)}${option} --keys KEYS`),
    ].join('\n')), '\n\n',
    '3. Switch over (--apply does it, and keeps copies of main.cf and master.cf):\n\n',
    indent([
      ...switchOver(postfix, plan).map(call => shellLines(postfix, call)), reloadCommand(postfix),
    ].join('\n')), '\n\n',
    backText(postfix, plan),
  ].join('')
}

/** `before-holdfast-2026-11-25T10-20-30`, for the name of a file. */
const stampOf = (time: Date): string => `before-holdfast-${time.toISOString().slice(0, 19).replaceAll(':', '-')}`

/**
 * Changes main.cf and master.cf. Throws Failure and leaves both as they were: 75 if the daemon doesn't answer yet, 69
 * if postconf(1) fails.
 */
const switchPostfix = async (postfix: Postconf, plan: AdoptionPlan): Promise<string> => {
  const missing = await unanswered(postfix, plan)
  if (missing.length > 0) {
    throw new Failure(exitTempfail, `nothing is changed: the daemon doesn't answer yet:\n  ${missing.join('\n  ')}\n`
      + 'Start it with the configuration that `holdfast adopt` prints, and try again.')
  }
  try {
    const copies = await applyChanges(postfix.configDir, switchOver(postfix, plan), stampOf(new Date()))
    return `${summaryText(plan)}As it was: ${copies.join(', ')}\n`
      + `Now run: ${reloadCommand(postfix)}\n\n${backText(postfix, plan)}`
  } catch (error) {
    throw new Failure(exitUnavailable, `nothing is changed: ${messageOf(error)}`)
  }
}

/** The folders of postmulti(1)'s instances besides the default one; none if it has none. */
const instancesOf = async (configDir: string): Promise<readonly string[]> => {
  // Without a main.cf, postconf(1) fails, and takes a second for it.
  if (configDir === defaultFolder || !existsSync(`${defaultFolder}/main.cf`)) return []
  const text = await runPostconf(defaultFolder, ['-hx', 'multi_instance_directories']).catch(() => '')
  return splitList(text.trim()).map(({ text: folder }) => folder)
}

/** The places of main.cf and master.cf that ask Holdfast already. */
const movedPlaces = ({ written, overrides }: Postconf): readonly string[] => {
  const main = [...written].map(([parameter, value]) => ({ service: null, parameter, value }))
  return [...main, ...overrides].filter(({ value }) => value.includes(socketInQueue)).map(placeName)
}

/**
 * Prints the plan, or carries it out. Throws Failure: 69 if postconf(1) fails, 73 if the configuration can't be
 * written, 75 if the daemon doesn't serve the maps yet, 78 if there is nothing to adopt.
 */
export const adopt = async ({ configDir, output, apply }: AdoptOptions, process: NodeJS.Process): Promise<number> => {
  const postfix = await readPostconf(configDir).catch((error: unknown) => {
    throw new Failure(exitUnavailable, messageOf(error))
  })
  const plan = planAdoption(postfix, unsuitable)
  const moved = movedPlaces(postfix)
  if (plan.edits.length === 0) {
    process.stdout.write(summaryText(plan))
    if (moved.length === 0) {
      throw new Failure(exitConfig, plan.leftAlone.length > 0
        ? `no mysql: table of ${configDir} can move: let each stay, or change what keeps it, as above`
        : `${configDir} has no mysql: table; name Postfix's folder with --config-dir`)
    }
    process.stdout.write(`All tables are moved: Postfix asks Holdfast in ${moved.join(', ')}\n`)
    return 0
  }
  const owner = postfix.expanded.get('mail_owner') ?? ''
  const site: Site = {
    group: groupId(owner) === null ? null : owner, hosts: await hostsOf(postfix),
    isService: (output ?? standardConfig) === standardConfig,
    healthPort: healthPortFor(configDir, await instancesOf(configDir)),
  }
  const yaml = configText(postfix, plan, site)
  if (output !== undefined && moved.length > 0) {
    throw new Failure(exitCantCreate, `Postfix asks Holdfast already in ${moved.join(', ')}: add the other maps to `
      + 'your configuration by hand; without --output, this command prints them')
  }
  const problem = output === undefined ? null : writeConfig(output, yaml)
  if (problem !== null) throw new Failure(exitCantCreate, problem)
  const text = apply === undefined ? planText(postfix, plan, { yaml, site, output })
    : await switchPostfix(postfix, plan)
  process.stdout.write(text)
  return 0
}
