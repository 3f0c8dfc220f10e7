/**
 * The keys of a table's rows, as they are listed -> the filter that tells which
 * keys it lacks. All rows count, those too whose keys are left out of the caches:
 * they are there. So does a key for which the lookup finds nothing that it could
 * answer: it is asked for, as ever.
 */
import { gatherKeys } from '../caches/filter.js'
import type { ByteString } from '../outcome.js'
import type { Comparison } from '../tables/comparison.js'
import type { OnListed } from '../mysql/database.js'

/** How the keys are compared, and by which server (its name) they must be listed: the one that lookups ask. */
export type Listable = { readonly comparison: Comparison, readonly server: string }

/** Which keys a table has, as plain data. */
export type KeyList = { readonly keys: number, readonly bits: Uint8Array }

export type ListedKeys = {
  /** A row's key, as its bytes in an encoding that ASCII is part of. */
  take(key: ByteString | null): void
  /** Hears which server has listed them, and why that one may lack keys, if it may. */
  readonly onListed: OnListed
  /** A text says why nothing can be said of what is not among them. */
  list(): Promise<KeyList | string>
}

/** Their filter takes 1.5 bytes each. */
const maxKeys = 20_000_000

const printable = /^[\x20-\x7e]*$/

/** The key that a lookup finds such a row by: in small letters, without blanks at its end; null if it isn't of printable ASCII. */
const foldedAscii = (key: ByteString): string | null => printable.test(key) ? key.trimEnd().toLowerCase() : null

export const listKeys = ({ comparison, server }: Listable, limit = maxKeys): ListedKeys => {
  const gathered = gatherKeys()
  let isListed = false
  let objection: string | null = null
  return {
    take: bytes => {
      // NULL equals nothing.
      if (bytes === null || objection !== null) return
      const key = foldedAscii(bytes)
      if (key !== null) gathered.add(key)
      // Where bytes count, no key of ASCII is equal to it.
      else if (comparison === 'folded') objection = 'there are keys of more than printable ASCII, which the collation may take for others'
      if (gathered.size > limit) objection = `there are more than ${limit} keys`
    },
    onListed: (by, doubt) => {
      isListed = true
      objection ??= doubt ?? (by === server ? null : `they were listed by ${by}, and lookups ask ${server}`)
    },
    list: async () => {
      if (objection !== null) return objection
      if (!isListed) return 'they were not listed to their end'
      const { bits } = await gathered.filter()
      return { keys: gathered.size, bits }
    },
  }
}
