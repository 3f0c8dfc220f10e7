/**
 * Asks again and again which keys changed since it was last told, so that edits
 * are seen within seconds. After a pause, such as an outage, it asks as far back
 * as anything can still be fresh.
 */
import type { Unavailable } from '../outcome.js'
import type { Clock } from '../runtime/clock.js'

export type ChangesParts = {
  /** The keys that changed in the last `seconds`; null: too many to name. Never rejects. */
  readonly ask: (seconds: number) => Promise<readonly string[] | null | Unavailable>
  /** `isNew`: it was not in the list before this one. */
  readonly onChanged: (key: string | null, isNew: boolean) => void
  readonly onProblem: (problem: Unavailable) => void
  readonly everyMs: number
  /** Nothing is fresh for longer (ms). */
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
