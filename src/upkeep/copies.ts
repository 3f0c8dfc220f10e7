/**
 * Keeps a copy of every table that can be listed, for outages: from the start, and
 * again every `copy_every`. A copy answers only when the table can't be asked
 * (lookup/answers.ts), so a row that is new since then is found all the same in
 * good times.
 *
 * The smallest tables come first, up to `copy_rows` over all maps. A table that lacks too
 * many of the known keys, more than it usually loses, is in doubt, and the last copy is kept.
 * The copies of maps that aren't sensitive are also written to files, which a
 * restart in an outage reads.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Copy } from '../caches/copy.js'
import { writePieces } from '../caches/piece_file.js'
import { messageOf } from '../log.js'
import { sampleOf } from '../lookup/known_evidence.js'
import type { MysqlMap } from '../lookup/maps.js'
import type { Clock } from '../runtime/clock.js'
import { isShrunk, keptLosses } from '../trust/doubt.js'
import { copyFile, readCopyFiles } from './copy_files.js'
import { contradictLost } from './lost_keys.js'
import { takeCopy } from './take_copy.js'

export type CopiesParts = {
  readonly maps: readonly MysqlMap[]
  readonly everyMs: number
  /** Rows of all copies together. */
  readonly maxRows: number
  /** Where the files are; null: there are none. */
  readonly folder: string | null
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly onTaken: (map: string, rows: number, tookMs: number) => void
  readonly onProblem: (map: string, problem: string) => void
}

/** One table's copy. */
export type CopyStatus = {
  readonly rows: number
  readonly bytes: number
  /** Epoch ms; null: there is no copy. */
  readonly takenAt: number | null
  /** Why there is no newer one; '' if nothing failed. */
  readonly problem: string
}

type Slot = {
  readonly map: MysqlMap
  readonly index: number
  /** When its next copy is to be taken (elapsed ms). */
  dueAt: number
  problem: string
  /** Rows of the last attempt; null before the first. */
  size: number | null
  /** Attempts that failed since the last copy. */
  failures: number
  /** Keys that the last copies lost, and that are kept as found. */
  lost: readonly string[]
}

export type Copies = {
  /** The copies of a map's tables, in their order; none for a map that there isn't. */
  of(map: string): readonly CopyStatus[]
  /** Reads the files, where a table has no copy yet. */
  readFiles(): Promise<void>
  /** Takes the first copies, now that all that is known is at hand (evidence.ts). */
  start(): void
  /** Rows of this map's tables changed: their copies are taken again soon. */
  retake(map: string): void
  close(): void
}

/** All copies together may take so many bytes for each row that they may have. */
const bytesPerRow = 200
/** In its first attempt a table may have so many rows; larger ones wait until the small ones are taken. */
const firstRows = 10_000
/**
 * Of one question (ms) by which a copy is compared: it must not keep a connection from lookups when the server hangs.
 */
const budgetMs = 1_000
/** The event loop rests for this many times as long as a batch of rows took. */
const restShare = 2
/** So many known keys are looked for in a new copy. */
const comparedKeys = 200
/**
 * Copies are taken again this long (ms) after a row changed, for all that changed since; and after an attempt that
 * failed, then after twice as long, and so on: an outage or a doubt may be over before `copy_every` is.
 */
const changedMs = 60_000
/** Maps and nodes keep apart by up to this share of the interval. */
const jitter = 0.1

const copyOf = ({ map, index }: Slot): Copy | null => map.copies.of(index)

export const keepCopies = (
  { maps, everyMs, maxRows, folder, clock, random, onTaken, onProblem }: CopiesParts,
): Copies => {
  const slots = maps.flatMap(map => map.tables.map((_, index): Slot =>
    ({ map, index, dueAt: 0, problem: '', size: null, failures: 0, lost: [] })))
  const closing = new AbortController()
  const room: Room = { rows: maxRows, bytes: maxRows * bytesPerRow }
  /** Nothing is taken before `start`, and then one copy after the other. */
  let isIdle = false
  let cancel = (): void => undefined
  const plan = (): void => {
    cancel()
    if (!isIdle || closing.signal.aborted) return
    const dueAt = Math.min(...slots.map(slot => slot.dueAt))
    cancel = clock.after(Math.max(0, dueAt - clock.elapsed()), () => void takeDue())
  }
  const takeDue = async (): Promise<void> => {
    isIdle = false
    const due = slots.filter(({ dueAt }) => dueAt <= clock.elapsed())
    // What changes from now on may not be in the copy.
    for (const slot of due) slot.dueAt = Infinity
    await takeAll(due, slots, room, { clock, folder, onTaken, onProblem }, closing.signal)
    const now = clock.elapsed()
    const nextMs = everyMs * (1 + jitter * (2 * random() - 1))
    for (const slot of due) {
      const retryMs = slot.failures === 0 ? Infinity : changedMs * 2 ** (slot.failures - 1)
      slot.dueAt = Math.min(slot.dueAt, now + Math.min(nextMs, retryMs))
    }
    isIdle = true
    plan()
  }
  return {
    of: map => slots.filter(slot => slot.map.name === map).map(slot => {
      const copy = copyOf(slot)
      return {
        rows: copy?.rows ?? 0, bytes: copy?.bytes ?? 0, takenAt: copy?.takenAt ?? null, problem: slot.problem,
      }
    }),
    readFiles: async () => {
      if (folder === null) return
      await readCopyFiles(folder, maps.filter(({ config }) => !config.sensitive), clock.now(), onProblem)
    },
    start: () => { if (slots.length > 0) void takeDue() },
    retake: map => {
      for (const slot of slots) {
        if (slot.map.name === map) slot.dueAt = Math.min(slot.dueAt, clock.elapsed() + changedMs)
      }
      plan()
    },
    close: () => {
      closing.abort()
      cancel()
    },
  }
}

const bySize = (slots: readonly Slot[]): readonly Slot[] => slots.toSorted((a, b) => (a.size ?? 0) - (b.size ?? 0))

/** What there may be of all copies together, or of one. */
type Room = { readonly rows: number, readonly bytes: number }

/** What the other copies leave for this one. */
const roomLeft = (slots: readonly Slot[], own: Slot, { rows, bytes }: Room): Room => {
  const others = slots.flatMap(slot => slot === own ? [] : copyOf(slot) ?? [])
  return {
    rows: rows - others.reduce((sum, copy) => sum + copy.rows, 0),
    bytes: bytes - others.reduce((sum, copy) => sum + copy.bytes, 0),
  }
}

/** Takes the next copies of `some` of all slots: the small tables first, then those that are known to be large. */
const takeAll = async (
  some: readonly Slot[], all: readonly Slot[], room: Room, parts: TakeParts, signal: AbortSignal,
): Promise<void> => {
  for (const slot of bySize(some.filter(({ size }) => size === null || size <= firstRows))) {
    const left = roomLeft(all, slot, room)
    await takeNext(slot, { ...left, rows: Math.min(firstRows, left.rows) }, parts, signal)
  }
  for (const slot of bySize(some.filter(({ size }) => size !== null && size > firstRows))) {
    const left = roomLeft(all, slot, room)
    if (left.rows > firstRows) await takeNext(slot, left, parts, signal)
    else {
      slot.problem = `it has more rows than the ${left.rows} that copy_rows leaves for it`
      parts.onProblem(slot.map.name, slot.problem)
    }
  }
}

type TakeParts = Pick<CopiesParts, 'clock' | 'folder' | 'onTaken' | 'onProblem'>

/** Takes a table's next copy, if it may have as many rows. Never rejects. */
const takeNext = async (
  slot: Slot, room: Room, { clock, folder, onTaken, onProblem }: TakeParts, signal: AbortSignal,
): Promise<void> => {
  const { map, index } = slot
  const table = map.tables[index]
  const isClosed = (): boolean => signal.aborted
  if (table === undefined || isClosed() || room.rows <= 0) return
  const startedAt = clock.elapsed()
  let rows = 0
  let resumedAt = clock.elapsed()
  const problem = await (async () => {
    const taken = await takeCopy(table, {
      maxRows: room.rows, maxBytes: room.bytes, budgetMs, now: () => clock.now(),
      avoid: server => map.trust.tables[index]?.isDoubted(server) === true,
      onRows: async batch => {
        rows += batch.length
        await sleep(Math.min(100, restShare * (clock.elapsed() - resumedAt)))
        resumedAt = clock.elapsed()
        return isClosed() ? 'stopping' : null
      },
    })
    return typeof taken === 'string' ? taken : await accept(slot, taken, clock)
  })().catch(messageOf)
  if (isClosed()) return
  slot.size = rows
  slot.problem = problem ?? ''
  slot.failures = problem === null ? 0 : slot.failures + 1
  if (problem !== null) {
    // Too large for the first attempt is no problem yet.
    if (rows <= firstRows || room.rows > firstRows) onProblem(map.name, problem)
    return
  }
  onTaken(map.name, rows, Math.round(clock.elapsed() - startedAt))
  const copy = copyOf(slot)
  if (folder !== null && !map.config.sensitive && copy !== null) {
    await writePieces(copyFile(folder, map.name, index, copy), copy.pieces())
      .catch((error: unknown) => onProblem(map.name, `the copy can't be written: ${messageOf(error)}`))
  }
}

/** Puts a new copy in the place of the last one: null; or why not: the table lacks too much, and is in doubt. */
const accept = async (slot: Slot, taken: Copy, clock: Clock): Promise<string | null> => {
  const { map, index } = slot
  const { trust, tables, copies, lookup: { known } } = map
  const table = trust.tables[index]
  if (table === undefined) return null
  if (table.isDoubted(taken.server)) return 'the table is in doubt'
  const isGone = (key: string): boolean => taken.answer(key).kind === 'absent'
  const keys = sampleOf(known, index, comparedKeys, table.evidenceSince)
  const missing = keys.filter(isGone)
  const [lost] = missing
  if (lost !== undefined && isShrunk(missing.length, keys.length, table.maxShrink)) {
    const answer = await tables[index]?.source.ask(lost, budgetMs)
    if (answer?.outcome.kind === 'absent') table.doubt(answer.server, 'copy-shrunk')
    return `the table lacks ${missing.length} of ${keys.length} known keys, and the last copy is kept`
  }
  const last = copies.evidence(index)
  if (last !== null) {
    const before = last.sampleKeys(comparedKeys)
    const loss = before.length === 0 ? 0 : before.filter(isGone).length / before.length
    // What an administrator said was right, or another definition, is not what usually happens.
    const isUsual = last.takenAt > table.trustedAt && last.isForeign !== true
    taken.losses.push(...last.losses.slice(1 - keptLosses), ...isUsual ? [loss] : [])
    slot.lost = await contradictLost({ map, index, last, next: taken, before: slot.lost, now: () => clock.now() })
  }
  taken.witnesses = known.isRedisRead ? keys.length : 0
  copies.put(index, taken)
  return null
}
