/**
 * A set of keys in a few bits each (a Bloom filter, CACM 13(7), 1970). It may take
 * a key for one of its own that isn't; a key that was added it never denies. The
 * same keys make the same bits in every process.
 *
 * Bugs: the hash is no secret. Who makes keys up that are taken for known ones has
 * the table asked, as without the filter.
 */
const bitsPerKey = 12
/** So many bits are looked at for a key; with these two, one strange key in 300 is taken for a known one. */
const probes = 8
/** Hashes are gathered in arrays of so many keys; each of them is put in without a pause. */
const chunkKeys = 8_192

export type Filter = {
  /** All there is to it; `filterOf` makes a filter of them again. */
  readonly bits: Uint8Array
  add(key: string): void
  /** False: it was never added. */
  has(key: string): boolean
}

/** The hash of a key, two words of 32 bits: multiplicative in each, mixed at the end as MurmurHash3 does it. */
const hashInto = (key: string, words: Uint32Array, at: number): void => {
  let one = 0x9747b28c
  let other = 0x41c6ce57
  for (let index = 0; index < key.length; index++) {
    const unit = key.charCodeAt(index)
    one = Math.imul(one ^ unit, 0x9e3779b1)
    other = Math.imul(other ^ unit, 0x5f356495)
  }
  one = Math.imul(one ^ (one >>> 16), 0x85ebca6b) ^ Math.imul(other ^ (other >>> 13), 0xc2b2ae35)
  other = Math.imul(other ^ (other >>> 16), 0x85ebca6b) ^ Math.imul(one ^ (one >>> 13), 0xc2b2ae35)
  words[at] = one ^ (one >>> 15)
  words[at + 1] = other ^ (other >>> 15)
}

/** Whether all the bits of the hash at `at` are set; sets them if `isAdded`. */
const probe = (bits: Uint8Array, words: Uint32Array, at: number, isAdded: boolean): boolean => {
  const size = bits.length * 8
  let index = words[at] ?? 0
  const step = (words[at + 1] ?? 0) | 1
  for (let count = 0; count < probes; count++) {
    const bit = index % size
    const byte = bits[bit >>> 3] ?? 0
    const mask = 1 << (bit & 7)
    if (isAdded) bits[bit >>> 3] = byte | mask
    else if ((byte & mask) === 0) return false
    index = (index + step) >>> 0
  }
  return true
}

/** The filter that has these bits, at least one byte of them; it changes them as keys are added. */
export const filterOf = (bits: Uint8Array): Filter => {
  const words = new Uint32Array(2)
  return {
    bits,
    add: key => {
      hashInto(key, words, 0)
      probe(bits, words, 0, true)
    },
    has: key => {
      hashInto(key, words, 0)
      return probe(bits, words, 0, false)
    },
  }
}

export type Gathered = {
  add(key: string): void
  /** How many there are; the same one twice in a row counts once. */
  readonly size: number
  /** The filter of them all. Others get their turn while it is made. */
  filter(): Promise<Filter>
}

/** Gathers keys, 8 bytes each, until it is known how many there are. */
export const gatherKeys = (): Gathered => {
  const chunks: Uint32Array[] = []
  let last = new Uint32Array(2)
  let size = 0
  let before = ''
  return {
    add: key => {
      if (key === before && size > 0) return
      before = key
      const at = size % chunkKeys * 2
      if (at === 0) {
        last = new Uint32Array(chunkKeys * 2)
        chunks.push(last)
      }
      hashInto(key, last, at)
      size++
    },
    get size() { return size },
    filter: async () => {
      const bits = new Uint8Array(Math.ceil(Math.max(1, size) * bitsPerKey / 8))
      for (const [index, chunk] of chunks.entries()) {
        const keys = Math.min(chunkKeys, size - index * chunkKeys)
        for (let key = 0; key < keys; key++) probe(bits, chunk, key * 2, true)
        await new Promise(resolve => { setImmediate(resolve) })
      }
      return filterOf(bits)
    },
  }
}
