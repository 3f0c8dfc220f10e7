/**
 * Checks the MX records of all domains every `mx_every`, a few questions at a time, and keeps how many domains are in
 * which state. Which domains these are `holdfast mx` says: the status page names none.
 */
import type { NodeConfig, Role } from '../config/config.js'
import { bugOf } from '../log.js'
import type { Log } from '../log.js'
import type { Clock } from '../runtime/clock.js'
import { checkDomains, mxStateOf, mxStates } from './check_domains.js'
import type { MxState } from './check_domains.js'
import { copiedDomains } from './domains.js'
import type { Served } from './domains.js'
import { openDns } from './resolver.js'
import { mxNodes } from './verdict.js'

export type MxStatus = {
  /** When the last check ended (epoch ms). */
  readonly checkedAt: number
  readonly domains: Readonly<Record<MxState, number>>
  /** The maps whose domains are not among them. */
  readonly unlisted: readonly string[]
}

/** Whether a check is due is looked at so often (ms). */
const lookMs = 10_000
/** The first check waits so long (ms) for the copies of all tables. */
const patienceMs = 5 * 60_000
/** While something is wrong, the time (ms) between two checks is no longer than this. */
const soonMs = 3_600_000
/** Lookups of mail come first. */
const maxUnderWay = 8

type Named = { readonly name: string, readonly role: Role }

/**
 * The roles of the nodes that are known by name: those that `role:` names, and those that share a Redis. A primary that
 * knows of no other primary knows nothing of the others: `role:` may name the fallback alone.
 */
export const rolesOf = ({ name, role, roles }: NodeConfig, fleet: readonly Named[]): ReadonlyMap<string, Role> => {
  const known = new Map([...fleet.map(node => [node.name, node.role] as const), ...roles])
  return role === 'fallback' || [...known.values()].includes('primary') ? known.set(name, role) : known
}

export type MxWatchParts = {
  readonly served: () => Served
  readonly fleet: () => readonly Named[]
  readonly clock: Clock
  readonly log: Log
}

export class MxWatch {
  readonly #parts: MxWatchParts
  readonly #startedAt: number
  #last: MxStatus | null = null
  /** What the log has of the last check: the same is not written again. */
  #logged = ''
  #isClosed = false
  #cancel: () => void

  constructor(parts: MxWatchParts) {
    this.#parts = parts
    this.#startedAt = parts.clock.now()
    this.#cancel = parts.clock.after(lookMs, () => void this.#look())
  }

  /** Null before the first check, and without `mx_every`. */
  get status(): MxStatus | null {
    return this.#everyMs === null ? null : this.#last
  }

  close(): void {
    this.#isClosed = true
    this.#cancel()
  }

  get #everyMs(): number | null {
    return this.#parts.served().config.file.mx_every ?? null
  }

  async #look(): Promise<void> {
    const { clock, log } = this.#parts
    const everyMs = this.#everyMs
    if (everyMs !== null && this.#isDue(everyMs)) await this.#check().catch((error: unknown) => log.error(bugOf(error)))
    if (!this.#isClosed) this.#cancel = clock.after(lookMs, () => void this.#look())
  }

  /** What is wrong, or could not be asked, is asked again soon: whoever mends it wants to see that. */
  #isDue(everyMs: number): boolean {
    if (this.#last === null) return true
    const { checkedAt, domains, unlisted } = this.#last
    const isWell = unlisted.length === 0 && mxStates.every(state => state === 'right' || domains[state] === 0)
    const agoMs = this.#parts.clock.now() - checkedAt
    return agoMs >= (isWell ? everyMs : Math.min(everyMs, soonMs)) || agoMs < 0
  }

  async #check(): Promise<void> {
    const { served, fleet, clock, log } = this.#parts
    const now = served()
    const { domains, problems } = await copiedDomains(now)
    if (problems.length > 0 && this.#last === null && clock.now() - this.#startedAt < patienceMs) return
    const verdicts = await checkDomains({
      domains, nodes: mxNodes(rolesOf(now.config.node, fleet())), primaries: now.config.file.mx_primaries,
      dns: openDns(now.config.file.mx_resolver ?? null), maxUnderWay,
    })
    const counts = Object.fromEntries(mxStates.map(state => [state, 0])) as Record<MxState, number>
    for (const verdict of verdicts) counts[mxStateOf(verdict)]++
    this.#last = { checkedAt: clock.now(), domains: counts, unlisted: problems.map(({ place }) => place) }
    const found = JSON.stringify(counts)
    if (found === this.#logged) return
    this.#logged = found
    const text = `mx: ${counts.right} of ${verdicts.length} domains have the MX records that the roles want, `
      + `${counts.unknown} could not be asked`
    if (counts.right + counts.unknown === verdicts.length) log.info(text)
    else log.warn(text + '; run `holdfast mx` for what to mend')
  }
}
