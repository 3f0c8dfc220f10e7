/**
 * A lease in Redis: it says which of the nodes that share the Redis does a piece of
 * work. A lease that its holder doesn't renew ends by itself.
 */
import { randomBytes } from 'node:crypto'
import type { Client } from './redis_client.js'

/** How long it lasts without renewal, and how often it is renewed (ms). */
const defaults = { leaseMs: 30_000, renewMs: 10_000 }

// KEYS: the lease. ARGV: its holder, and how much longer it holds it (ms); 0 to end it.
const renewal = `
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`

export type Lease = {
  /** False once another node may hold it. */
  isHeld(): boolean
  release(): Promise<void>
}

/** Takes the lease `key` and holds it until it is released; null if another node holds it. Rejects with the error of Redis. */
export const takeLease = async (
  client: Client, key: string, { leaseMs, renewMs } = defaults,
): Promise<Lease | null> => {
  const token = randomBytes(16).toString('hex')
  let until = performance.now() + leaseMs
  if (await client.set(key, token, 'PX', leaseMs, 'NX') !== 'OK') return null
  const renew = async (): Promise<void> => {
    const next = performance.now() + leaseMs
    // Redis says no: it is lost. Redis can't be asked: it may be possible the next time.
    const kept = await client.eval(renewal, 1, key, token, leaseMs).catch(() => null)
    if (kept !== null) until = Number(kept) === 1 ? next : 0
  }
  const timer = setInterval(() => void renew(), renewMs).unref()
  return {
    isHeld: () => performance.now() < until,
    release: async () => {
      clearInterval(timer)
      until = 0
      await client.eval(renewal, 1, key, token, 0).catch(() => undefined)
    },
  }
}
