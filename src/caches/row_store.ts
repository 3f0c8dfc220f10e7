/**
 * Rows by key, many in little memory: all lie one behind the other in a few large
 * buffers, with one hash table of their places. Built once, row by row, then only
 * read; it can be written to a file as it lies there, and read back.
 *
 * A record is: place + 1 of the row of the same key that was added before it, or 0
 * (4 bytes, little-endian; set by `finish`); the length of what follows; the length
 * of the key, the key; for each column its length + 1, or 0 for NULL, and its bytes.
 * Lengths are LEB128. With a key and a value of 30 bytes each that makes some 75 bytes.
 *
 * Limits: keys are ASCII; places take 32 bits, so there is room for some 4 GB.
 */
import type { ByteString } from '../outcome.js'

export type StoredRow = readonly (ByteString | null)[]

/** A record starts in the first so many bytes of a segment; one that is larger has a segment of its own. */
const placeBits = 18
const maxSegmentBytes = 2 ** placeBits
const minSegmentBytes = 4_096
const maxSegments = 2 ** (32 - placeBits) - 1
/** Slots of the hash table for each record. */
const slotsPerRecord = 1.5
/** The event loop gets its turn after so many records. */
const sliceRecords = 1_000

const lengthBytes = (length: number): number => length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x20_0000 ? 3 : 4

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

export class RowStore {
  #segments: Buffer[] = []
  /** Bytes used of the last segment; the others are full. */
  #used = 0
  #records = 0
  #keys = 0
  #heads = new Uint32Array(0)
  /** So that nobody can choose keys that share a slot. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32)
  /** Where the last length that was read ends, in its segment. */
  #at = 0

  /** A store of what another one's `segments` gave; null if that is damaged. Gives the event loop its turns. */
  static async read(segments: readonly Buffer[]): Promise<RowStore | null> {
    const store = new RowStore()
    store.#segments = [...segments]
    store.#used = segments.at(-1)?.length ?? 0
    if (segments.length > maxSegments) return null
    for (const segment of segments) {
      for (let at = 0; at < segment.length; at = store.#at) {
        if (at >= maxSegmentBytes || !store.#isRecord(segment, at)) return null
        store.#records++
        if (store.#records % sliceRecords === 0) await turn()
      }
    }
    await store.finish()
    return store
  }

  get rows(): number {
    return this.#records
  }

  /** How many different keys there are, once it is finished. */
  get keys(): number {
    return this.#keys
  }

  /** What it takes in memory (bytes). */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.length, this.#heads.byteLength)
  }

  /** Adds a row; those of one key are found in the order in which they were added. Not after `finish`. */
  add(key: string, row: StoredRow): void {
    let body = lengthBytes(key.length) + key.length
    for (const column of row) body += column === null ? 1 : lengthBytes(column.length + 1) + column.length
    const segment = this.#room(4 + lengthBytes(body) + body)
    segment.writeUInt32LE(0, this.#used)
    this.#used = this.#writeLength(segment, this.#used + 4, body)
    this.#used = this.#writeText(segment, this.#writeLength(segment, this.#used, key.length), key)
    for (const column of row) {
      this.#used = this.#writeLength(segment, this.#used, column === null ? 0 : column.length + 1)
      if (column !== null) this.#used = this.#writeText(segment, this.#used, column)
    }
    this.#records++
  }

  /** Makes what was added findable. Gives the event loop its turns. */
  async finish(): Promise<void> {
    // Room that nothing more will need.
    const last = this.#segments.pop()
    const isFull = last === undefined || this.#used === last.length
    if (last !== undefined) this.#segments.push(isFull ? last : Buffer.from(last.subarray(0, this.#used)))
    this.#heads = new Uint32Array(Math.ceil(this.#records * slotsPerRecord) + 1)
    let done = 0
    for (const [index, segment] of this.#segments.entries()) {
      for (let at = 0; at < segment.length;) {
        const end = this.#endOf(segment, at)
        this.#link(segment, at, index * maxSegmentBytes + at + 1)
        at = end
        if (++done % sliceRecords === 0) await turn()
      }
    }
  }

  /** The rows of a key, at most `limit`: of more, the last ones. */
  find(key: string, limit: number): readonly StoredRow[] {
    const rows: StoredRow[] = []
    for (let place = this.#headOf(key); place !== 0 && rows.length < limit;) {
      const segment = this.#segmentOf(place)
      const at = (place - 1) % maxSegmentBytes
      rows.push(this.#rowAt(segment, at))
      place = segment.readUInt32LE(at)
    }
    return rows.reverse()
  }

  /** All keys, each once, in an order that is random but for where it starts: `at` is in [0, 1). */
  *keysFrom(at: number): Generator<string> {
    const slots = this.#heads.length
    const start = Math.floor(at * slots)
    for (let index = 0; index < slots; index++) {
      const place = this.#heads[(start + index) % slots] ?? 0
      if (place === 0) continue
      const segment = this.#segmentOf(place)
      const length = this.#keyStart(segment, (place - 1) % maxSegmentBytes)
      yield segment.toString('latin1', this.#at, this.#at + length)
    }
  }

  /** All that it holds, in pieces of some 256 kB, for `read`. They must not be changed. */
  get segments(): readonly Buffer[] {
    return this.#segments
  }

  /** The last segment, with so much room in it. */
  #room(bytes: number): Buffer {
    const last = this.#segments.at(-1)
    if (last !== undefined && last.length - this.#used >= bytes) return last
    if (this.#segments.length === maxSegments) throw new RangeError('a store of rows is full')
    // Whoever reads a segment takes it to be full.
    if (last !== undefined) this.#segments[this.#segments.length - 1] = last.subarray(0, this.#used)
    const usual = last === undefined ? minSegmentBytes : Math.min(maxSegmentBytes, last.length * 2)
    const segment = Buffer.allocUnsafeSlow(Math.max(bytes, usual))
    this.#segments.push(segment)
    this.#used = 0
    return segment
  }

  #writeLength(segment: Buffer, start: number, length: number): number {
    let at = start
    for (let rest = length; ; rest >>>= 7) {
      segment[at++] = rest < 0x80 ? rest : rest & 0x7f | 0x80
      if (rest < 0x80) return at
    }
  }

  #writeText(segment: Buffer, at: number, text: string): number {
    return at + segment.write(text, at, 'latin1')
  }

  /** The length at `start`; `#at` is behind it afterwards. */
  #readLength(segment: Buffer, start: number): number {
    let length = 0
    this.#at = start
    for (let shift = 0; ; shift += 7) {
      const byte = segment[this.#at++] ?? 0
      length |= (byte & 0x7f) << shift
      if (byte < 0x80 || shift > 21) return length
    }
  }

  #endOf(segment: Buffer, at: number): number {
    const length = this.#readLength(segment, at + 4)
    return this.#at + length
  }

  /** The length of the key of the record at `at`; `#at` is where it begins. */
  #keyStart(segment: Buffer, at: number): number {
    this.#readLength(segment, at + 4)
    return this.#readLength(segment, this.#at)
  }

  /** Whether a whole record lies at `at`; `#at` is behind it. */
  #isRecord(segment: Buffer, at: number): boolean {
    const end = this.#endOf(segment, at)
    if (end > segment.length || end <= at + 4) return false
    let next = this.#at
    next = this.#readLength(segment, next) + this.#at
    while (next < end) next = Math.max(this.#readLength(segment, next) - 1, 0) + this.#at
    this.#at = end
    return next === end
  }

  #rowAt(segment: Buffer, at: number): StoredRow {
    const end = this.#endOf(segment, at)
    let next = this.#at
    next = this.#readLength(segment, next) + this.#at
    const row: (ByteString | null)[] = []
    while (next < end) {
      const length = this.#readLength(segment, next) - 1
      next = Math.max(length, 0) + this.#at
      row.push(length < 0 ? null : segment.toString('latin1', this.#at, next) as ByteString)
    }
    return row
  }

  #segmentOf(place: number): Buffer {
    const segment = this.#segments[Math.floor((place - 1) / maxSegmentBytes)]
    if (segment === undefined) throw new RangeError('no such place in a store of rows')
    return segment
  }

  /** Puts the record at `at` before the others of its key. */
  #link(segment: Buffer, at: number, place: number): void {
    const length = this.#keyStart(segment, at)
    const start = this.#at
    let hash = this.#seed
    for (let index = start; index < start + length; index++) hash = Math.imul(hash ^ (segment[index] ?? 0), 0x0100_0193)
    let slot = this.#slotOf(hash)
    for (;;) {
      const head = this.#heads[slot] ?? 0
      if (head === 0) {
        this.#keys++
        break
      }
      const other = this.#segmentOf(head)
      const otherLength = this.#keyStart(other, (head - 1) % maxSegmentBytes)
      if (segment.compare(other, this.#at, this.#at + otherLength, start, start + length) === 0) break
      slot = (slot + 1) % this.#heads.length
    }
    segment.writeUInt32LE(this.#heads[slot] ?? 0, at)
    this.#heads[slot] = place
  }

  /** The place of the key's last record; 0 if it has none. */
  #headOf(key: string): number {
    if (this.#heads.length === 0) return 0
    let hash = this.#seed
    for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x0100_0193)
    for (let slot = this.#slotOf(hash); ; slot = (slot + 1) % this.#heads.length) {
      const head = this.#heads[slot] ?? 0
      if (head === 0) return 0
      const segment = this.#segmentOf(head)
      const length = this.#keyStart(segment, (head - 1) % maxSegmentBytes)
      if (length === key.length && segment.toString('latin1', this.#at, this.#at + length) === key) return head
    }
  }

  #slotOf(hash: number): number {
    const mixed = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
    return Math.floor(((mixed ^ (mixed >>> 13)) >>> 0) / 2 ** 32 * this.#heads.length)
  }
}
