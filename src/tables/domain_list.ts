/**
 * The `domain` parameter of mysql_table(5): a list of domains, in the form of
 * Postfix's match lists. Only addresses in a matching domain are asked, no bare
 * words and no `@domain`. An item is a domain, /FILE with more items, or TYPE:TABLE;
 * a ! in front turns it round; the first item that matches decides. Domains are
 * compared whole and folded as keys are, by bytes without smtputf8_enable: no sub-domains.
 *
 * What the list names is read at start, and again when it has changed: Postfix finds a
 * domain as soon as postmap(1) has added it, and its users must not be absent until somebody
 * reloads Holdfast. A file that somebody is writing is read a second later. texthash: is read as
 * it is; of hash:, btree:, lmdb:, cdb: and dbm: the text file that postmap(1) made them from is
 * read, if it is there and not newer than the table. Other types are refused, since a list
 * that can't be read would turn keys away unasked.
 */
import type { Files } from './cf.js'
import { asBytes, fold } from '../postfix/fold.js'
import { parseTextTable } from '../postfix/text_table.js'
import { cantRead } from '../runtime/hidden.js'

export type DomainList = {
  /** By the files as they are; by what was read last where they can't be used now. */
  readonly matches: (domain: string) => boolean
  readonly warnings: readonly string[]
  /** Not empty: the list must not be used. */
  readonly errors: readonly string[]
  /** Every domain that was read and whether it is in, for the definition's fingerprint. */
  readonly content: ReadonlyMap<string, boolean>
}

/** The file names that postmap(1) gives a table. */
const suffixes: ReadonlyMap<string, string> = new Map([
  ['hash', '.db'], ['btree', '.db'], ['lmdb', '.lmdb'], ['cdb', '.cdb'], ['dbm', '.pag'],
])

/** Reads the list and what it names. Never throws for a file: that is an error in the list. */
export const parseDomainList = (list: string, files: Files, smtputf8 = true): DomainList => {
  const keyOf = (domain: string): string => smtputf8 ? domain : asBytes(domain)
  const read = (): ListReader => {
    const reader = new ListReader(files, keyOf)
    reader.parse(list, false, [])
    return reader
  }
  let last = read()
  let lookedAt = performance.now()
  const { decisions, warnings, errors } = last
  return {
    matches: domain => {
      const now = performance.now()
      if (last.times.size > 0 && now - lookedAt >= lookEveryMs) {
        lookedAt = now
        const next = last.isCurrent() ? last : read()
        if (next.errors.length === 0 && next.isSettled()) last = next
      }
      return last.decisions.get(fold(keyOf(domain))) ?? false
    },
    warnings, errors, content: decisions,
  }
}

/** The files are looked at so often (ms) at most; one that changed in this time may still be being written. */
const lookEveryMs = 1_000

class ListReader {
  readonly warnings: string[] = []
  readonly errors: string[] = []
  /** Everything on a list can be listed, so what the first matching item says of a domain is known ahead. */
  readonly decisions = new Map<string, boolean>()
  /** When each file that was read had changed (epoch ms). */
  readonly times = new Map<string, number | null>()
  readonly #files: Files
  /** A domain as it stands in a key, before folding. */
  readonly #keyOf: (domain: string) => string

  constructor(files: Files, keyOf: (domain: string) => string) {
    this.#files = files
    this.#keyOf = keyOf
  }

  /** `isTurned`: a ! stands in front of all of it. `open`: the files in which it stands. */
  parse(text: string, isTurned: boolean, open: readonly string[]): void {
    for (const word of text.split(/[, \t\r\n]+/)) {
      if (word === '') continue
      if (word.startsWith('#')) {
        this.warnings.push(`${word.slice(0, 60)} begins no comment at the end of a line; it and what follows it is `
          + 'skipped, as Postfix does: put comments on lines of their own')
        return
      }
      const item = word.replace(/^!+/, '')
      const isIn = (word.length - item.length) % 2 === 0 ? !isTurned : isTurned
      this.#item(item, isIn, open)
    }
  }

  /** Whether the files are what they were when they were read. */
  isCurrent(): boolean {
    return [...this.times].every(([path, time]) => this.#files.modifiedMs(path) === time)
  }

  /** Whether none of them was changed just now: a file that is being written has not all of its domains yet. */
  isSettled(): boolean {
    return [...this.times.values()].every(time => time === null || Math.abs(Date.now() - time) >= lookEveryMs)
  }

  /** Its time is taken first: a file that changes meanwhile is read again. */
  #read(path: string): Buffer {
    this.times.set(path, this.#files.modifiedMs(path))
    return this.#files.read(path)
  }

  #item(item: string, isIn: boolean, open: readonly string[]): void {
    const colon = item.indexOf(':')
    if (item === '') this.errors.push('no domain stands after \'!\'; write !DOMAIN')
    else if (item.startsWith('/')) {
      if (open.includes(item)) this.errors.push(`${item} includes itself; remove it there`)
      else this.#readFile(item, !isIn, [...open, item])
    } else if (!item.startsWith('[') && colon !== -1) this.#readTable(item.slice(0, colon), item.slice(colon + 1), isIn)
    else this.#decide(fold(this.#keyOf(item)), isIn)
  }

  #decide(domain: string, isIn: boolean): void {
    if (!this.decisions.has(domain)) this.decisions.set(domain, isIn)
  }

  #readFile(path: string, isTurned: boolean, open: readonly string[]): void {
    let content: string
    try {
      content = this.#read(path).toString('utf8')
    } catch (error) {
      this.errors.push(`${path} ${cantRead(error, path)}`)
      return
    }
    for (const line of content.split('\n')) if (!line.startsWith('#')) this.parse(line, isTurned, open)
  }

  #readTable(type: string, path: string, isIn: boolean): void {
    const suffix = suffixes.get(type)
    const problem = this.#tableProblem(type, path, suffix)
    if (problem !== null) {
      this.errors.push(problem)
      return
    }
    try {
      // Only postmap folds; Postfix opens the tables of a list without folding.
      const foldKey = suffix === undefined ? this.#keyOf : (key: string) => fold(this.#keyOf(key))
      const table = parseTextTable(this.#read(path), path, foldKey)
      this.warnings.push(...table.warnings.map(({ place, text }) => `${place}: ${text}`))
      for (const domain of table.entries.keys()) this.#decide(domain, isIn)
    } catch (error) {
      this.errors.push(`${type}:${path} ${cantRead(error, path)}`)
    }
  }

  /** Why the text of a table can't be read in its place; null if it can. */
  #tableProblem(type: string, path: string, suffix: string | undefined): string | null {
    if (suffix === undefined) {
      return type === 'texthash' ? null
        : `a ${type}: table can't be used here; write the domains, a /FILE with them, or texthash:/FILE`
    }
    const tableTime = this.#files.modifiedMs(path + suffix)
    const textTime = this.#files.modifiedMs(path)
    if (tableTime === null || textTime === null) {
      const missing = textTime === null ? path : path + suffix
      return `${type}:${path} is read from the text it was made of, but ${missing} isn't there; use texthash:/FILE`
    }
    return textTime <= tableTime ? null
      : `${path} is newer than ${path}${suffix}, so the two may differ: run postmap ${type}:${path}`
  }
}
