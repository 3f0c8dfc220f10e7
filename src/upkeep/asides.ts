/**
 * Snapshots with answers that fit no map of the configuration, kept aside for a week: that may be a mistake, which the
 * next start or reload mends.
 */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** A file with entries that don't fit the configuration is kept for so long (ms): that may be a mistake. */
export const keepAsideMs = 7 * 86_400_000
/** Of more such files the newest are kept. */
const maxAsides = 5

/** Where the snapshot of this path is kept aside from `now` (epoch ms) on. */
export const asideNow = (path: string, now: number): string => `${path}.before.${now}`

/** `keptAt`: epoch ms; it may have been written long before. */
type Aside = { readonly path: string, readonly keptAt: number }

/** The files that were kept aside, the oldest first. Never rejects. */
export const asidesOf = async (path: string): Promise<readonly Aside[]> => {
  const names = await readdir(dirname(path)).catch(() => [])
  const first = `${basename(path)}.before`
  // That of an earlier version has no number.
  const asides = names.filter(name => name === first || (name.startsWith(`${first}.`) && /\.\d+$/.test(name)))
  const kept = await Promise.all(asides.map(async name => {
    const aside = join(dirname(path), name)
    const time = name.slice(first.length + 1)
    return { path: aside, keptAt: time === '' ? (await stat(aside).catch(() => null))?.mtimeMs ?? 0 : Number(time) }
  }))
  return kept.toSorted((a, b) => a.keptAt - b.keptAt)
}

/** Those that are still to be read at `now` (epoch ms). */
export const keptOf = (asides: readonly Aside[], now: number): readonly Aside[] =>
  asides.slice(-maxAsides).filter(({ keptAt }) => now - keptAt < keepAsideMs)
