import t from 'tap'
import { applyRole } from '../../src/lookup/role.js'
import type { Policy } from '../../src/config/config.js'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import type { Reason } from '../../src/outcome.js'

// Each reason, and whether it means that the server could not be asked. The type has every reason named.
const reasons: Readonly<Record<Reason, 'outage' | 'always deferred'>> = {
  'timeout': 'outage',
  'source-down': 'outage',
  'source-refused': 'always deferred',
  'breaker-open': 'outage',
  'query-error': 'always deferred',
  'overloaded': 'always deferred',
  'bad-value': 'always deferred',
  'distrusted': 'always deferred',
  'unknown-map': 'always deferred',
  'unknown-deferred': 'always deferred',
  'draining': 'always deferred',
  'internal-error': 'always deferred',
}

const policies: readonly Policy[] = [
  { unknown: 'reject', outage: 'defer', outageAfterMs: 60_000 },
  { unknown: 'defer', outage: 'defer', outageAfterMs: 60_000 },
  { unknown: 'reject', outage: 'reject', outageAfterMs: 60_000 },
  { unknown: 'defer', outage: 'reject', outageAfterMs: 60_000 },
]

for (const policy of policies) {
  const name = `unknown: ${policy.unknown}, outage: ${policy.outage}`
  for (const [reason, meaning] of Object.entries(reasons) as [Reason, string][]) {
    const short = unavailable(reason, 'detail')
    const long = { ...short, outMs: 60_000 }
    const becomes = policy.outage === 'reject' && meaning === 'outage' ? absent : long
    t.equal(applyRole(long, policy), becomes, `${name}: ${reason} becomes ${becomes.kind} in a long outage`)
    t.equal(applyRole(long, policy, true), long, `${name}: ${reason} stays, if this node has trouble of its own`)
    for (const outcome of [short, { ...short, outMs: 59_999 }]) {
      t.equal(applyRole(outcome, policy), outcome, `${name}: ${reason} stays, if the outage is not known to be long`)
    }
  }
  for (const age of ['fresh', 'stale'] as const) {
    const outcome = found(byteString('box@example.net'), age)
    t.equal(applyRole(outcome, policy), outcome, `${name}: what is found, ${age}, stays found`)
  }
  const becomes = applyRole(absent, policy)
  if (policy.unknown === 'reject') t.equal(becomes, absent, `${name}: absent stays absent`)
  else t.match(becomes, { kind: 'unavailable', reason: 'unknown-deferred' }, `${name}: absent is deferred`)
}
