/** What goes wrong in the first hour of a Postfix that asks Holdfast. Changes nothing. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readPostconf } from '../postfix/postconf.js'
import type { Postconf } from '../postfix/postconf.js'
import type { Config, ListenerConfig } from '../config/config.js'
import { charsetNote } from '../adopt/circumstances.js'
import { valueInFile } from '../tables/cf.js'
import { accountOf, fileFindings, serviceAccount, tableFilesOf } from './access.js'
import { listenerFor, reach } from './reach.js'
import { settingFindings, tableFindings } from './tables.js'
import type { OwnUse } from './tables.js'
import { usesOf } from './uses.js'
import type { Finding, Use } from './uses.js'

/**
 * Findings about the Postfix of `configDir`; null if there is none, or it doesn't ask Holdfast yet. Rejects with
 * postconf(1)'s standard error if it fails.
 */
export const checkPostfix = async (configDir: string, config: Config): Promise<readonly Finding[] | null> => {
  if (!existsSync(join(configDir, 'main.cf'))) return null
  const postfix = await readPostconf(configDir)
  const account = await accountOf(postfix.expanded.get('mail_owner') ?? 'postfix')
  const uses = usesOf(postfix, 'without defaults')
  const endpoints = [...new Set(uses.map(({ protocol, endpoint }) => `${protocol} ${endpoint}`))]
  const reached = await Promise.all(endpoints.map(async name => {
    const its = uses.filter(({ protocol, endpoint }) => `${protocol} ${endpoint}` === name)
    return { its, ...await reach(postfix, config, its, account) }
  }))
  if (!reached.some(({ isOurs }) => isOurs)) return null
  const ours = reached.flatMap(({ its, listener }) => listener === null ? [] : its.map(use => ownUse(use, listener)))
  const service = await serviceAccount(account)
  return [
    ...reached.flatMap(({ findings }) => findings), ...tableFindings(postfix, config, ours),
    ...settingFindings(postfix, config, ours), ...charsetFindings(postfix, config),
    ...service === null ? [] : fileFindings(config, service),
  ]
}

/** The files whose charset Postfix ignored before Holdfast was there. */
const charsetFindings = (postfix: Postconf, config: Config): readonly Finding[] =>
  tableFilesOf(config).flatMap(file => {
    const note = charsetNote(postfix, valueInFile(file, 'charset'))
    return note === null ? [] : [{ level: 'warning', place: file, text: note }]
  })

const ownUse = (use: Use, listener: ListenerConfig): OwnUse =>
  ({ ...use, map: use.map ?? (listener.protocol === 'tcp_table' ? listener.map : '') })

/** What the Postfix of `configDir` asks of this configuration's daemon. */
export type Asking = { readonly postfix: Postconf, readonly uses: readonly OwnUse[] }

/** null if there is no Postfix. Rejects with postconf(1)'s standard error if it fails. */
export const askingOf = async (configDir: string, config: Config): Promise<Asking | null> => {
  if (!existsSync(join(configDir, 'main.cf'))) return null
  const postfix = await readPostconf(configDir)
  const uses = usesOf(postfix, 'with defaults').flatMap(use => {
    const listener = listenerFor(postfix, config, use)
    return listener === null ? [] : [ownUse(use, listener)]
  })
  return { postfix, uses }
}
