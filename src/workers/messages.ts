/** What the daemon and its workers say to each other, by the channel of node:child_process. */
import type { Explained, TableRow } from '../admin/actions.js'
import type { Share } from '../admin/status.js'
import type { Fields } from '../log.js'

/** What a worker can be asked; arguments and results are plain data. */
export type Calls = {
  readonly share: () => Promise<Share>
  readonly explain: (address: string, map: string | null) => Promise<readonly Explained[]>
  readonly trust: (map: string) => Promise<string | null>
  readonly flush: (map: string, key: string | null) => Promise<string | null>
  readonly warm: (map: string) => Promise<string | null>
  /** Gives the number of a stream of batches, for `more`; a sentence if there is none. */
  readonly rows: (map: string) => Promise<number | string>
  readonly more: (stream: number) => Promise<IteratorResult<readonly TableRow[], string | null>>
  readonly take: (map: string, rows: readonly TableRow[], madeAt: number) => Promise<Readonly<Record<string, number>> | string>
  /** Reads the configuration anew; false if it has faults. */
  readonly reload: () => Promise<boolean>
  /** Answers what was asked, then ends. */
  readonly close: (how: { readonly isKept: boolean }) => Promise<void>
}

export type ToWorker =
  /** The client itself comes with it. */
  | { readonly kind: 'client', readonly id: number, readonly listener: string }
  | { readonly kind: 'call', readonly id: number, readonly name: keyof Calls, readonly args: readonly unknown[] }

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export type FromWorker =
  | { readonly kind: 'ready' }
  /** The client is the worker's from now on; not a byte of it was read before. */
  | { readonly kind: 'took', readonly id: number }
  | { readonly kind: 'result', readonly id: number, readonly value: unknown }
  /** A call that threw: a bug. */
  | { readonly kind: 'failure', readonly id: number, readonly message: string }
  | { readonly kind: 'log', readonly level: LogLevel, readonly text: string, readonly fields: Fields }
  | { readonly kind: 'repeated', readonly of: string, readonly text: string, readonly fields: Fields }
