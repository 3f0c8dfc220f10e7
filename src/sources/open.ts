/** Opens what stands behind each map; every problem of every map at once. */
import type { Outcome } from '../outcome.js'
import type { Source } from './source.js'

/** A map's source: a table whole in memory, or a server that is asked. */
export type Opened =
  | { readonly kind: 'text', readonly lookup: (key: string) => Outcome }
  | { readonly kind: 'mysql', readonly source: Source }

export type Sources = {
  of(map: string): Opened
  /** Each server, its breaker's state and its last error, as plain data. */
  status(): Readonly<Record<string, unknown>>
  close(): Promise<void>
}
