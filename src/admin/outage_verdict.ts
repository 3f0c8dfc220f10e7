/**
 * What the keys of a map get while MySQL can't be asked, in general: the same rules as lookup/answers.ts, for a map and
 * not for one key. Pure.
 */
import type { Absence } from '../config/config.js'
import type { CopyStatus } from '../upkeep/copies.js'

/** What decides the verdict on a map. */
export type OutageFacts = {
  readonly absence: Pick<Absence, 'does' | 'inOutage'>
  /** How long a found answer or a copy bridges an outage (ms). */
  readonly staleForMs: number
  /** Why its tables have no copies; '' if they have them. */
  readonly whyNoCopy: string
}

/** Whether lookups are answered; if not, or not by the caches alone, why. */
export type OutageVerdict = { readonly passes: boolean, readonly why: string }

/** Why a map has no copies that could answer; '' if it has them. */
export const whyNoCopy = (copies: readonly CopyStatus[]): string => {
  const lacking = copies.find(({ takenAt }) => takenAt === null)
  if (lacking === undefined) return ''
  return `the table has no copy (${lacking.problem === '' ? 'not taken yet' : lacking.problem})`
}

/**
 * A key that nobody has asked for: one of ours (a recipient, a user's address), which the table has; or a stranger's,
 * which it lacks.
 */
export const ofUnseenKey = (
  { absence, staleForMs, whyNoCopy: lacking }: OutageFacts, isOurs: boolean,
): OutageVerdict => {
  const { does, inOutage } = absence
  const noCopy = staleForMs === 0 ? 'stale_for is 0' : lacking
  if (isOurs && noCopy === '') return { passes: true, why: 'from the copy of the table' }
  switch (does) {
    case 'refuses': return {
      passes: false, why: isOurs ? noCopy : 'an absence in this map refuses mail, so it is not stated in an outage',
    }
    case 'reroutes': case 'passes': {
      if (noCopy === '') return { passes: true, why: 'from the copy of the table' }
      const passes = inOutage === 'pass' || (inOutage === 'pass-strangers' && !isOurs)
      return { passes, why: passes ? `in_outage: ${inOutage}` : `${noCopy}, and in_outage: ${inOutage}` }
    }
    case 'weakens': return noCopy === '' ? { passes: true, why: 'from the copy of the table' }
      : { passes: false, why: `without the row mail would go out less protected, and ${noCopy}` }
    default: return does satisfies never
  }
}

/** A key that was found before the outage. */
export const ofKnownKey = (facts: OutageFacts): OutageVerdict => {
  return facts.staleForMs > 0 ? { passes: true, why: '' } : ofUnseenKey(facts, true)
}
