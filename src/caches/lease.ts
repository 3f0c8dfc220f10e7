/**
 * A lease in Redis: which of the nodes that share it does a piece of work. It
 * ends by itself when its holder doesn't renew it.
 */
import { randomBytes } from 'node:crypto'
import type { Client } from './redis_client.js'

/** How long it lasts without renewal, and how often it is renewed (ms). */
const defaults = { leaseMs: 30_000, renewMs: 10_000 }

// KEYS: the lease; ARGV: whose, and how much longer (ms), 0 for no longer.
const renewal = `
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`

export type Lease = {
  /** False once it may be another node's. */
  isHeld(): boolean
  release(): Promise<void>
}

/** Takes the lease `key` and keeps it until it is released; null if another node has it. Rejects with what Redis says. */
export const takeLease = async (client: Client, key: string, { leaseMs, renewMs } = defaults): Promise<Lease | null> => {
  const token = randomBytes(16).toString('hex')
  let until = performance.now() + leaseMs
  if (await client.set(key, token, 'PX', leaseMs, 'NX') !== 'OK') return null
  const renew = async (): Promise<void> => {
    const next = performance.now() + leaseMs
    // Lost for good if it says no; a Redis that can't be asked now may be there the next time.
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
