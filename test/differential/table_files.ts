/** The tables of a scenario: files of mysql_table(5) with their rows, text tables, and lists of both. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { settle } from '../fixtures/postfix.js'
import type { Chance, Words } from './words.js'

export type Row = { readonly table: string, readonly key: string, readonly value: string | null }

/** Makes mysql_table(5) files and text tables in a folder, and collects the rows that MySQL needs. */
export class Tables {
  readonly rows: Row[] = []
  readonly proxied: string[] = []
  readonly #chance: Chance
  readonly #words: Words
  readonly #folder: string
  readonly #login: string
  #count = 0

  constructor(chance: Chance, words: Words, folder: string, login: string) {
    this.#chance = chance
    this.#words = words
    this.#folder = folder
    this.#login = login
  }

  #file(name: string, text: string): string {
    const file = join(this.#folder, name)
    writeFileSync(file, text)
    settle(file)
    return file
  }

  mysql(kind: string, key: () => string, value: () => string): string {
    const chance = this.#chance
    const name = `s${++this.#count}_${kind}`
    const table = chance.is(0.3) ? 'ci' : 'bin'
    const where = chance.is(0.1) ? 'CONCAT(\'%u\',\'@\',\'%d\')' : '\'%s\''
    const isRewriting = kind === 'alias' || kind === 'canonical'
    const more = chance.is(0.05) ? `domain = ${chance.sample(this.#words.domains, 4).join(', ')}\n`
      : chance.is(0.05) ? 'result_format = %s\n'
        : isRewriting && chance.is(0.05) ? chance.pick([
          'result_format = %U@other.example\n', 'result_format = %u@out.example\n',
          'result_format = %s, u3@out.example\n',
        ]) : chance.is(0.02) ? 'expansion_limit = 1\n' : ''
    const query = `SELECT v FROM ${table} WHERE tab='${name}' AND k=${where} ORDER BY id`
    const file = this.#file(`${name}.cf`, `${this.#login}query = ${query}\n${more}`)
    for (let left = chance.pick([6, 15, 30]); left > 0; left--) {
      this.rows.push({ table: name, key: key(), value: value() })
    }
    if (chance.is(0.1)) this.rows.push({ table: name, key: key(), value: null })
    if (!chance.is(0.4)) return `mysql:${file}`
    this.proxied.push(`proxy:mysql:${file}`)
    return `proxy:mysql:${file}`
  }

  /** Makes a table that isn't mysql:. */
  other(key: () => string, value: () => string): string {
    const rows = new Map<string, string>()
    for (let left = 5; left > 0; left--) {
      const [k, v] = [key(), value().trim()]
      if (k !== '' && v !== '' && !/[\s{}=,"\\<>#$]/.test(k) && !/[{}\n"\\$]/.test(v) && !rows.has(k)) rows.set(k, v)
    }
    if (rows.size === 0 || this.#chance.is(0.5)) {
      return `inline:{${[...rows, ['zzz@zzz.example', 'zz@zz.example']].map(([k, v]) => `{${k} = ${v}}`).join(', ')}}`
    }
    return `texthash:${this.#file(`o${++this.#count}`, [...rows].map(([k, v]) => `${k} ${v}\n`).join(''))}`
  }

  /** Makes a list of one to three tables; some are not mysql:, some are compound. */
  list(kind: string, key: () => string, value: () => string): string {
    const chance = this.#chance
    const plain = (): string => this.mysql(kind, key, value).replace('proxy:', '')
    const tables = Array.from({ length: chance.pick([1, 1, 2, 3]) }, () => this.mysql(kind, key, value))
    if (chance.is(0.3)) tables.splice(chance.below(tables.length + 1), 0, this.other(key, value))
    if (chance.is(0.08)) tables.push(`${chance.pick(['unionmap', 'pipemap'])}:{${plain()},${plain()}}`)
    return tables.join(chance.pick([', ', ' ', ',']))
  }
}
