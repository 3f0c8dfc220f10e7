/**
 * Flushes: by an administrator or a panel, or since a `changes` query lists a key. They reach this node, and all
 * nodes that share its Redis.
 */
import type { FlushChannel } from '../caches/flush_channel.js'
import { keyIn } from '../lookup/maps.js'
import type { MysqlMap } from '../lookup/maps.js'
import { fold } from '../postfix/fold.js'
import type { Unavailable } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'

/** Tells the other nodes of a flush: null if all of them know, else why some will know it later. */
export type Announce = FlushChannel['announce']

type FlushedMap = Pick<MysqlMap, 'name' | 'config' | 'lookup'>

/** Makes keys of a map stale on this node: all (null), those of `@domain`, or one; gives that as the map knows it. */
export const flushHere = (map: FlushedMap, what: string | null): string | null => {
  const key = what === null ? null : keyIn(map, what)
  map.lookup.flush(key, Date.now())
  return key
}

/** The same on every node; '' or why some node doesn't know of it yet. */
export const flushEverywhere = async (map: FlushedMap, what: string | null, announce: Announce): Promise<string> => {
  const key = flushHere(map, what)
  // Keys of a sensitive map stay out of Redis.
  const problem = await announce({ map: map.name, what: map.config.sensitive || key === null ? null : fold(key) })
  return problem === null ? '' : `; other nodes are told as soon as Redis can be used: ${problem}`
}

/** The same, and one key is looked up in its table at once; gives one line that says what was done. */
export const flush = async (map: MysqlMap, what: string | null, announce: Announce): Promise<string> => {
  const { name } = map
  const delay = await flushEverywhere(map, what, announce)
  if (what === null || what.startsWith('@')) {
    const keys = what === null ? 'every key' : `every key of ${what}`
    return `${name}: ${keys} is asked anew when it is next asked for; until then what is known bridges an outage`
      + delay
  }
  const outcome = await map.lookup.renew(keyIn(map, what))
  const answer = outcome.kind === 'unavailable' ? `${outcome.reason}: ${outcome.detail}` : outcome.kind
  return `${name}: asked anew: ${answer}${delay}`
}

export type ChangesParts = {
  /** The keys that changed in the last `seconds`; null: too many to name. Never rejects. */
  readonly ask: (seconds: number) => Promise<readonly string[] | null | Unavailable>
  /** `isNew`: it was not in the list before this one. */
  readonly onChanged: (key: string | null, isNew: boolean) => void
  readonly onProblem: (problem: Unavailable) => void
  readonly everyMs: number
  /** No answer of the map is fresh for longer (ms). */
  readonly freshForMs: number
  readonly clock: Clock
}

/** Starts at once; the function that it gives ends it. */
export const watchChanges = ({ ask, onChanged, onProblem, everyMs, freshForMs, clock }: ChangesParts): (() => void) => {
  let isClosed = false
  let askedAt = -Infinity
  let before: ReadonlySet<string | null> = new Set()
  let cancel = (): void => undefined
  const poll = async (): Promise<void> => {
    const now = clock.now()
    const elapsedMs = now - askedAt
    // A clock that was set back says nothing of the time that went by.
    const changed = await ask((elapsedMs >= 0 && elapsedMs < freshForMs ? elapsedMs : freshForMs) / 1_000)
    if (isClosed) return
    if (changed !== null && 'kind' in changed) onProblem(changed)
    else {
      askedAt = now
      const listed = new Set(changed ?? [null])
      for (const key of listed) onChanged(key, !before.has(key))
      before = listed
    }
    cancel = clock.after(everyMs, () => void poll())
  }
  void poll()
  return () => {
    isClosed = true
    cancel()
  }
}
