/** The files that a definition names: read at start, never while a lookup waits. */
import { readFileSync, readdirSync, statSync } from 'node:fs'

export type Files = {
  /** The whole file; throws an Error with a message for people. */
  read(path: string): Buffer
  /** When the file last changed (epoch ms); null if there is none. */
  modifiedMs(path: string): number | null
  /** The names in a folder, sorted; none if it can't be read. */
  list(folder: string): readonly string[]
  /** MySQL's own option files on this machine, read when a definition names none. */
  readonly defaultOptionFiles: readonly string[]
}

export const diskFiles: Files = {
  read: path => readFileSync(path),
  modifiedMs: path => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null,
  list: folder => {
    try {
      return readdirSync(folder).sort()
    } catch {
      return []
    }
  },
  defaultOptionFiles: ['/etc/my.cnf', '/etc/mysql/my.cnf'],
}
