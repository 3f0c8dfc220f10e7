/**
 * Whether a server keeps silent: it owes an answer, nothing has come from it for longer than its answers took of late,
 * and it lets in no further connection. Nobody waits for a silent server, so that the lookups of one mail, which come
 * one after the other, do not each wait in vain. If it is silent for all the time that a statement has, it is out; one
 * that has not been heard yet may take as long to let somebody in as that may take (a log-in with a slow reverse DNS).
 */
import { Alarm } from '../runtime/alarm.js'

export type SilenceSettings = {
  /** A server that answers at once otherwise is silent after this. */
  readonly silentMs: number
  /** A statement may take so long, from when it is sent; the server itself ends it somewhat earlier. */
  readonly statementMs: number
  /** A try to connect may take so long. */
  readonly connectTimeoutMs: number
}

export type SilenceHooks = {
  /** Whether the server owes an answer, or a connection. */
  readonly isOwing: () => boolean
  /** It may be one query that is slow, or connections that are dead: tries another connection. */
  readonly onSlow: () => void
  readonly onSilent: () => void
  readonly onOut: () => void
}

/** A server has so many times as long as its slowest answer took. */
const margin = 1.5
/** An answer's time counts for so long (ms): most senders of deferred mail have tried again by then. */
const slowestForMs = 10 * 60_000

export class Silence {
  readonly #settings: SilenceSettings
  readonly #hooks: SilenceHooks
  readonly #alarm = new Alarm(() => this.#look())
  /** When the server was last heard, or when somebody asked after that (of `performance.now()`). */
  #since = 0
  #isSilent = false
  /** The time (ms) of the slowest answer or log-in, and when that came. Before the first one no time is too long. */
  #slowestMs = Infinity
  #slowestAt = -Infinity

  constructor(settings: SilenceSettings, hooks: SilenceHooks) {
    this.#settings = settings
    this.#hooks = hooks
  }

  get isSilent(): boolean {
    return this.#isSilent
  }

  /** Somebody is about to ask the server. */
  asked(): void {
    if (this.#hooks.isOwing()) return
    this.#since = performance.now()
    this.#alarm.set(this.#since + this.#patienceMs / 2)
  }

  /** An answer came, or a connection stands, after so long (ms). */
  heard(tookMs: number): void {
    this.end()
    if (tookMs < this.#slowestMs && this.#since - this.#slowestAt < slowestForMs) return
    this.#slowestMs = tookMs
    this.#slowestAt = this.#since
  }

  /** The server is no longer silent: it was heard, or is known to be out. */
  end(): void {
    this.#since = performance.now()
    this.#isSilent = false
  }

  close(): void {
    this.#alarm.stop()
  }

  get #isHeard(): boolean {
    return this.#slowestMs < Infinity
  }

  get #outMs(): number {
    const { statementMs, connectTimeoutMs } = this.#settings
    return this.#isHeard ? statementMs : Math.max(statementMs, connectTimeoutMs)
  }

  get #patienceMs(): number {
    const { silentMs, statementMs } = this.#settings
    return Math.min(Math.max(silentMs, margin * this.#slowestMs), statementMs)
  }

  #look(): number {
    if (!this.#isSilent && !this.#hooks.isOwing()) return Infinity
    const silentForMs = performance.now() - this.#since
    const patienceMs = this.#patienceMs
    if (silentForMs >= this.#outMs) {
      this.#hooks.onOut()
      return Infinity
    }
    if (!this.#isSilent && silentForMs < patienceMs / 2) return this.#since + patienceMs / 2
    if (!this.#isSilent && silentForMs < patienceMs) {
      this.#hooks.onSlow()
      return this.#since + patienceMs
    }
    if (!this.#isSilent) {
      this.#isSilent = true
      // Those who wait for the first connection may still see it.
      if (this.#isHeard) this.#hooks.onSilent()
    }
    return this.#since + this.#outMs
  }
}
