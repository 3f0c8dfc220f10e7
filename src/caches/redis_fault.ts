/** What a command's error says about the Redis that gave it. */

/** Why a command or a record was of no use; the labels of the error counter. */
export const redisFaults = [
  'timeout', 'connection', 'readonly', 'oom', 'misconf', 'no-replicas', 'auth', 'permission', 'database', 'loading',
  'cluster', 'wrong-type', 'invalid-record', 'other',
] as const
export type RedisFault = typeof redisFaults[number]

export const faultOf = (error: Error): RedisFault => {
  // An error that sums up several Sentinels or hops ends with what the last of them said.
  const message = error.message.replace(/^.* Last error: (?:\w+: )?/, '')
  if (message === 'Command timed out') return 'timeout'
  if (message.startsWith('READONLY')) return 'readonly'
  if (message.startsWith('OOM')) return 'oom'
  if (message.startsWith('MISCONF')) return 'misconf'
  if (message.startsWith('NOREPLICAS')) return 'no-replicas'
  if (message.startsWith('NOPERM')) return 'permission'
  if (/^ERR (DB index|invalid DB)/.test(message)) return 'database'
  if (/^(NOAUTH|WRONGPASS|ERR AUTH|ERR invalid password|ERR Client sent AUTH)/.test(message)) return 'auth'
  if (/^(LOADING|MASTERDOWN)/.test(message)) return 'loading'
  if (/^(CLUSTERDOWN|TRYAGAIN|MOVED|ASK)/.test(message)) return 'cluster'
  if (message.startsWith('WRONGTYPE')) return 'wrong-type'
  if (message.startsWith('ERR')) return 'other'
  return 'connection'
}

/** What a fault of a read or a write concerns: the whole server, all writes to it, or only that command or record. */
export const scopeOf = (fault: RedisFault, isWrite: boolean): 'server' | 'writes' | 'command' => {
  switch (fault) {
    case 'timeout': case 'connection': case 'auth': case 'database': case 'loading': case 'cluster': return 'server'
    case 'readonly': case 'oom': case 'misconf': case 'no-replicas': return 'writes'
    case 'permission': return isWrite ? 'writes' : 'server'
    case 'wrong-type': case 'invalid-record': case 'other': return 'command'
    default: return fault satisfies never
  }
}
