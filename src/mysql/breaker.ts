/**
 * The breaker that keeps lookups from a server after it failed.
 *
 * It counts only failures of the server: connections that are refused, lost or not made in time, and statements without
 * any answer in the time that the server has for one, counted from when they were sent. The wait for a free connection
 * says nothing about the server, nor does the error of a single query, a statement that the server itself ended after
 * its time (a locked table, a slow query), or a caller who leaves. A server that is wholly silent needs no further
 * failure (silence.ts). While the breaker is open, it tries the server every `resetMs`; no lookup waits for that.
 */
import CircuitBreaker from 'opossum'
import { timeoutFault } from './fault.js'
import type { Fault } from './fault.js'
import { Silence } from './silence.js'
import type { SilenceHooks, SilenceSettings } from './silence.js'

export type BreakerState = 'closed' | 'open' | 'half-open'

export type BreakerSettings = SilenceSettings & {
  /** The breaker opens after so many failures in a row, or if of so many questions within `windowMs` half fail. */
  readonly failures: number
  readonly windowMs: number
  /** An open breaker tries the server after this. */
  readonly resetMs: number
}

export type BreakerHooks = Omit<SilenceHooks, 'onOut'> & {
  /** It opens, and `why` is for those who ask meanwhile. */
  readonly onOpen: (why: string) => void
  readonly onClose: () => void
  /** Tries the server: whether it lets us in. */
  readonly probe: () => Promise<boolean>
  /** `detail` is the failure that opened it, or ''; `lastedMs` is how long it was closed, or not. */
  readonly onState: (state: BreakerState, detail: string, lastedMs: number) => void
}

export type BreakerStatus = {
  readonly state: BreakerState
  /** When the breaker last opened or closed (epoch ms); half-open is part of open. */
  readonly since: number
  /** How often the breaker has opened. */
  readonly opened: number
  /** The last failure that was the server's, '' if there was none. */
  readonly lastError: string
}

/** Tries that failed one after the other: the first and the last one (of `performance.now()`). */
export type FailedTries = { readonly since: number, readonly at: number }

/** The breakers of several nodes shouldn't all try a server at the same moment. */
const jitter = 0.1
const jittered = (ms: number): number => Math.round(ms * (1 - jitter + Math.random() * 2 * jitter))

/** Timers of a busy process come so late (ms). */
const lateMs = 250

/**
 * While a server fails, one try ends at most so long (ms) after the one before. A longer gap says that this process was
 * held up, and knows nothing of the time between.
 */
export const longestTryMs = (resetMs: number, connectTimeoutMs: number): number =>
  resetMs * (1 + jitter) + connectTimeoutMs + lateMs

/** One more try failed, at `now`. */
export const oneMoreFailed = (before: FailedTries | null, now: number, longestMs: number): FailedTries =>
  ({ since: before !== null && now - before.at <= longestMs ? before.since : now, at: now })

/** For how long (ms) a server has been out; null: it is not, or nobody has tried it lately. */
export const outMsOf = (tries: FailedTries | null, now: number, longestMs: number): number | null =>
  tries === null || now - tries.at > longestMs ? null : now - tries.since

/** What the circuit breaker gets: it wants failures thrown. */
const failed = (): Promise<never> => Promise.reject(new Error('failed'))

export class Breaker {
  readonly #failures: number
  readonly #hooks: BreakerHooks
  readonly #circuit: CircuitBreaker<[() => Promise<unknown>]>
  #state: BreakerState = 'closed'
  #since = Date.now()
  #opened = 0
  #lastError = ''
  readonly #longestTryMs: number
  #failedTries: FailedTries | null = null
  #failuresInRow = 0
  readonly #silence: Silence

  constructor(settings: BreakerSettings, hooks: BreakerHooks) {
    const { failures, windowMs, resetMs, connectTimeoutMs } = settings
    this.#failures = failures
    this.#longestTryMs = longestTryMs(resetMs, connectTimeoutMs)
    this.#hooks = hooks
    this.#silence = new Silence(settings, { ...hooks, onOut: () => this.failed(timeoutFault('query'), true) })
    this.#circuit = new CircuitBreaker(attempt => attempt(), {
      timeout: false,
      volumeThreshold: failures,
      errorThresholdPercentage: 50,
      rollingCountTimeout: windowMs,
      resetTimeout: jittered(resetMs),
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
    })
    this.#circuit.on('open', () => {
      this.#silence.end()
      this.#enter('open', this.#lastError)
      hooks.onOpen(this.why)
    })
    this.#circuit.on('halfOpen', () => {
      this.#enter('half-open', '')
      void this.#circuit.fire(async () => {
        if (!await hooks.probe()) await failed()
      }).catch(() => undefined)
    })
    this.#circuit.on('close', () => {
      this.#enter('closed', '')
      hooks.onClose()
    })
  }

  get isClosed(): boolean {
    return this.#circuit.closed
  }

  get isSilent(): boolean {
    return this.#silence.isSilent
  }

  /** For how long (ms) the server has been out, as far as tries show; null: it answers, be it with a refusal. */
  get outMs(): number | null {
    return outMsOf(this.#failedTries, performance.now(), this.#longestTryMs)
  }

  get status(): BreakerStatus {
    return { state: this.#state, since: this.#since, opened: this.#opened, lastError: this.#lastError }
  }

  /** Why the server is not asked while it is open. */
  get why(): string {
    return `not asked after failures${this.#lastError === '' ? '' : `; last error: ${this.#lastError}`}`
  }

  /** Somebody is about to ask the server. */
  asked(): void {
    this.#silence.asked()
  }

  /** The server let us in, or answered, after so long (ms). */
  succeeded(tookMs: number): void {
    this.#failedTries = null
    this.#failuresInRow = 0
    // How long a log-in took that began in the outage says nothing about the time after it.
    if (!this.#circuit.closed) return this.#circuit.close()
    this.#silence.heard(tookMs)
    // A closed one needs the failures, and the number of questions. To ask through it takes a tenth of a miss.
    this.#circuit.emit('fire')
  }

  /** The server failed; `isOut`: it is out, whatever it did before. */
  failed(fault: Fault, isOut = false): void {
    if (fault.reason !== 'timeout') this.#silence.end()
    this.#failedTries = fault.reason === 'source-refused' ? null
      : oneMoreFailed(this.#failedTries, performance.now(), this.#longestTryMs)
    this.#lastError = fault.detail
    // Another question may have opened it meanwhile.
    if (!this.#circuit.closed) return
    // The share of failures alone would take the whole window to show that a busy server went down.
    if (++this.#failuresInRow >= this.#failures || isOut) this.#circuit.open()
    else void this.#circuit.fire(failed).catch(() => undefined)
  }

  close(): void {
    this.#silence.close()
    this.#circuit.shutdown()
  }

  #enter(state: BreakerState, detail: string): void {
    if (state === this.#state) return
    const wasClosed = this.#state === 'closed'
    this.#state = state
    const now = Date.now()
    const lastedMs = now - this.#since
    if (wasClosed || state === 'closed') this.#since = now
    if (wasClosed) this.#opened++
    this.#hooks.onState(state, detail, lastedMs)
  }
}
