/**
 * Listed rows (ordered_listing.ts) -> keys with the answer that the lookup would give,
 * one after the other, holding no more than the rows of the keys that find each
 * other. Wherever the lookup could give something else, the key is left out: it
 * is asked for when its turn comes.
 *
 * Left out are keys that another key finds too by the collation, keys that their
 * folding doesn't find (a binary column with capitals), keys that Postfix could
 * not ask for, and answers that are none or too many.
 */
import { isUtf8 } from 'node:buffer'
import type { ByteString, Found } from '../outcome.js'
import { fold } from '../postfix/fold.js'
import { maxResultBytes } from '../mysql/connection.js'
import type { RawRow } from '../mysql/statement.js'
import type { TableDefinition } from './definition.js'
import { keyColumns } from './ordered_listing.js'

export type ListedEntry = { readonly key: string, readonly outcome: Found }

/** Longer keys (bytes) are left out: the server sorts by the first part of a key alone (max_sort_length). */
const maxKeyBytes = 128
const notAscii = /[^\x00-\x7f]/
/** More rows than this for one key are not gathered. */
const maxRows = 10_000

export type Entries = {
  /** Takes the next row; gives the entry that is complete before it, if there is one. */
  push(row: RawRow): ListedEntry | null
  /** There are no more rows. */
  end(): ListedEntry | null
}

/** `limit`: the lookup takes no more rows of a key than this. */
export const collectEntries = ({ bind, answer, login: { charset } }: Pick<TableDefinition, 'bind' | 'answer' | 'login'>, limit: number): Entries => {
  // In another session's character set only ASCII has the bytes that Postfix would send.
  const isUtf8Session = charset.startsWith('utf8')
  const rowLimit = Math.min(limit, maxRows)
  let sum: string | null = null
  let key: ByteString | null = null
  let rows: (readonly (ByteString | null)[])[] = []
  let bytes = 0
  let isUsable = true

  const keyOf = (bytes: ByteString): string | null => {
    if (bytes.length === 0 || bytes.length > maxKeyBytes) return null
    const text = notAscii.test(bytes) ? textOf(bytes) : bytes
    return text === null || text.includes('\0') || fold(text) !== text || bind(text) === null ? null : text
  }
  const textOf = (bytes: ByteString): string | null => {
    const buffer = Buffer.from(bytes, 'latin1')
    return isUtf8Session && isUtf8(buffer) ? buffer.toString('utf8') : null
  }
  const finish = (): ListedEntry | null => {
    const text = isUsable && key !== null ? keyOf(key) : null
    const outcome = text === null ? null : answer(rows, text)
    return text === null || outcome?.kind !== 'found' ? null : { key: text, outcome }
  }

  return {
    push: row => {
      const [, rowKey = null, finds = null, rowSum = null] = row
      const isNext = sum !== (rowSum ?? '')
      const entry = isNext ? finish() : null
      if (isNext) {
        sum = rowSum ?? ''
        key = rowKey
        rows = []
        bytes = 0
        isUsable = rowKey !== null
      } else if (rowKey === null || rowKey !== key) isUsable = false
      // 1: the folded key finds this row.
      if (finds !== '1') isUsable = false
      for (const column of row) bytes += column?.length ?? 0
      // The lookup would not read so many or so much.
      if (rows.length === rowLimit || bytes > maxResultBytes) isUsable = false
      if (isUsable) rows.push(row.slice(keyColumns))
      else rows = []
      return entry
    },
    end: () => {
      const entry = finish()
      key = null
      return entry
    },
  }
}
