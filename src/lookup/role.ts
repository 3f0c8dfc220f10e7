/**
 * The node's role has its say, last and in one place: outcome in, outcome out.
 * Nothing else in the program turns what could not be found out into absent.
 *
 * Absent means a permanent error to whoever sent the mail, so each way to it
 * is listed here:
 * - the table said so, just now or within `absent_for`, and no guard objects
 *   (guard.ts): absent, unless the operator wants also these deferred;
 * - a fallback node with `outage: reject`, for a reason that means "the
 *   server could not be asked". Faults of the map itself, an answer that
 *   can't be sent, overload and distrust stay temporary on every node.
 */
import type { Policy } from '../config/config.js'
import type { Outcome } from '../outcome.js'
import { absent, isOutage, unavailable } from '../outcome.js'

/** The outcome that this node gives for what the lookup found out. */
export const applyRole = (outcome: Outcome, policy: Policy): Outcome => {
  switch (outcome.kind) {
    case 'found': return outcome
    case 'absent':
      return policy.unknown === 'reject' ? outcome
        : unavailable('unknown-deferred', 'not in the table; this node defers unknowns')
    case 'unavailable':
      return policy.outage === 'reject' && isOutage(outcome.reason) ? absent : outcome
    default: return outcome satisfies never
  }
}
