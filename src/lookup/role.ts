/**
 * Applies the node's role, last and in one place: outcome in, outcome out.
 * Nothing else turns an unavailable answer into absent, but for the lenient
 * names that smtpd asks beside a guard (recipient_guard.ts).
 *
 * Absent means a permanent error to whoever sent the mail, so each way to it
 * is listed here:
 * - the table said so, just now or within `absent_for`, and is believed
 *   (trust/table_trust.ts), or what is known says so in an outage (answers.ts):
 *   absent, unless the operator wants these deferred, too;
 * - a fallback node with `outage: reject`, if all servers of the table have been
 *   out for `outage_after` (mysql/breaker.ts). This node's own trouble,
 *   faults of the map itself, an answer that can't be sent, overload and distrust
 *   stay temporary on every node.
 */
import type { Policy } from '../config/config.js'
import type { Outcome, Reason } from '../outcome.js'
import { absent, isOutage, unavailable } from '../outcome.js'

/**
 * The outcome that this node gives for what the lookup found out. `isOwnTrouble`: this process was held up, or what it
 * knows could not be read.
 */
export const applyRole = (outcome: Outcome, policy: Policy, isOwnTrouble = false): Outcome => {
  switch (outcome.kind) {
    case 'found': return outcome
    case 'absent':
      return policy.unknown === 'reject' ? outcome
        : unavailable('unknown-deferred', 'not in the table; this node defers unknown recipients')
    case 'unavailable':
      return policy.outage === 'reject' && !isOwnTrouble && isOut(outcome.reason)
        && (outcome.outMs ?? -1) >= policy.outageAfterMs ? absent : outcome
    default: return outcome satisfies never
  }
}

/** A server that refuses to serve this node is not out. */
const isOut = (reason: Reason): boolean => isOutage(reason) && reason !== 'source-refused'
