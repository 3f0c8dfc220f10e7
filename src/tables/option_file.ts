/**
 * MySQL option files (my.cnf) as the client library reads them for
 * mysql_table(5)'s option_file and option_group: the groups that belong to
 * clients and the named one, `name = value` with - and _ alike, quotes around a
 * value taken off, backslash escapes, !include and !includedir. The last one
 * read counts.
 */
import { join } from 'node:path'
import type { Files } from './cf.js'

/** Option names with - for _, to their values; '' for one without a value. */
export type Options = ReadonlyMap<string, string>

/** Read by every client of the library, whatever group it asks for. */
const clientGroups = ['client', 'client-server', 'client-mariadb']

const escapes: ReadonlyMap<string, string> = new Map([
  ['n', '\n'], ['t', '\t'], ['b', '\b'], ['r', '\r'], ['s', ' '], ['"', '"'], ['\'', '\''], ['\\', '\\'],
])

const valueOf = (text: string): string => {
  const quoted = /^(["'])(.*)\1$/s.exec(text)
  return (quoted?.[2] ?? text).replaceAll(/\\(.)/gs, (all, letter: string) => escapes.get(letter) ?? all)
}

/** Reads `paths` in order for `group`. Throws what `files.read` throws for one that can't be read. */
export const readOptionFiles = (paths: readonly string[], group: string, files: Files): Options => {
  const groups = new Set([...clientGroups, group])
  const options = new Map<string, string>()
  const readOne = (path: string, open: readonly string[]): void => {
    if (open.includes(path)) return
    let isOurs = false
    for (const rawLine of files.read(path).toString('utf8').split('\n')) {
      const line = rawLine.trim()
      if (line === '' || line.startsWith('#') || line.startsWith(';')) continue
      const include = /^!(include|includedir)\s+(.+)$/.exec(line)
      if (include?.[2] !== undefined) {
        const target = include[2]
        const found = include[1] === 'include'
          ? [target].filter(file => files.modifiedMs(file) !== null)
          : files.list(target).filter(name => /\.(cnf|ini)$/.test(name)).map(name => join(target, name))
        for (const file of found) readOne(file, [...open, path])
        continue
      }
      const header = /^\[([^\]]*)\]/.exec(line)
      if (header?.[1] !== undefined) {
        isOurs = groups.has(header[1].trim())
        continue
      }
      if (!isOurs) continue
      const [, name, value] = /^([^=\s]+)\s*(?:=\s*(.*))?$/s.exec(line) ?? []
      if (name !== undefined) options.set(name.replaceAll('_', '-'), valueOf(value ?? ''))
    }
  }
  for (const path of paths) readOne(path, [])
  return options
}
