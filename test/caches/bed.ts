/** A cache on a test's own Redis, and what to put into it. */
import type { Test } from 'tap'
import { statement } from '../../src/caches/entry.js'
import { loadClient } from '../../src/caches/redis_client.js'
import { RedisAnswers } from '../../src/caches/redis.js'
import type { RedisFault } from '../../src/caches/redis_fault.js'
import type { RedisState } from '../../src/caches/redis_server.js'
import type { RedisSettings } from '../../src/config/config.js'
import { byteString, found } from '../../src/outcome.js'

export const alias = { name: 'alias', definition: '0123456789abcdef' }
export const verifiedAt = 1_700_000_000_000
export const box = found(byteString('box@example.net'))
export const day = 86_400_000

await loadClient()

/** A cache with a clock of the test's own, which stands still unless it is moved. */
export const open = (t: Test, address: Partial<RedisSettings>, commandTimeoutMs = 5_000) => {
  /** `set`: how far somebody has set it forward (ms). */
  const clock = { now: 0, set: 0 }
  const states: RedisState[] = []
  const told: RedisFault[] = []
  const writes: (string | null)[] = []
  const watchers = new Map<RedisState, () => void>()
  const cache = new RedisAnswers({ keyPrefix: 'hf:', commandTimeoutMs, ...address }, {
    onState: state => {
      states.push(state)
      watchers.get(state)?.()
      watchers.delete(state)
    },
    onWrites: refusal => { writes.push(refusal) },
    onFault: fault => { told.push(fault) },
  }, { now: () => clock.now + clock.set, elapsed: () => clock.now })
  t.teardown(() => cache.close())
  const until = (state: RedisState): Promise<void> => new Promise(resolve => {
    if (cache.status().state === state) resolve()
    else watchers.set(state, resolve)
  })
  /** Writes, and waits until the server has done it: the commands of a connection are done in order. */
  const write = async (key: string, outcome = box, ttlMs = day, map = alias) => {
    cache.write(map, key, statement(outcome, verifiedAt), ttlMs)
    await cache.read(map, ['nothing there'])
  }
  return { cache, clock, states, writes, told, until, write }
}
