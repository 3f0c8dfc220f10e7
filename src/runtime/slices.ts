/** Work on very many items, between which lookups have their turns. */
import { setTimeout as sleep } from 'node:timers/promises'

/** The event loop rests after so many items, for twice as long as they took. */
const perSlice = 500
const restShare = 2

/** Visits each item until one visit gives false: the first ones before it returns, the others by and by. */
export const inSlices = async <Item>(items: Iterable<Item>, visit: (item: Item) => unknown): Promise<void> => {
  let visited = 0
  let resumedAt = performance.now()
  for (const item of items) {
    if (visit(item) === false) return
    if (++visited % perSlice > 0) continue
    await sleep(restShare * (performance.now() - resumedAt), undefined, { ref: false })
    resumedAt = performance.now()
  }
}
