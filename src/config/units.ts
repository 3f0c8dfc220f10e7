/**
 * Durations and sizes as main.cf and systemd write them: `300ms`, `5m`, `7d`; `64MiB`.
 * Each has a name (`id`) and its text form, for the JSON Schema and the manual page.
 */
import * as z from 'zod'

const msPerUnit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const
const bytesPerUnit = { '': 1, k: 1_024, m: 1_048_576, g: 1_073_741_824 } as const

/** A duration (ms) as users write it: 90s is `90s`, 120s is `2m`. */
export const durationText = (ms: number): string => {
  const units = Object.entries(msPerUnit).filter(([unit, its]) => unit !== 'w' && ms >= its && ms % its === 0)
  const [unit, its] = units.at(-1) ?? ['ms', 1]
  return `${ms / its}${unit}`
}

/** Ten years: added to the present it is still a date, for Redis too. */
const longestMs = 3_650 * msPerUnit.d

const durationHelp = 'is not a duration: write a number and ms, s, m, h, d or w, such as 300ms or 7d'

/** A duration; a bare number counts seconds, as in main.cf. Gives ms. */
export const duration = z.union([z.number(), z.string()], durationHelp).transform((given, context): number => {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?$/.exec(String(given).trim())
  if (match?.[1] === undefined) {
    context.addIssue({ code: 'custom', message: `'${given}' ${durationHelp}` })
    return z.NEVER
  }
  const ms = Math.round(Number(match[1]) * msPerUnit[(match[2] ?? 's') as keyof typeof msPerUnit])
  if (ms <= longestMs) return ms
  context.addIssue({ code: 'custom', message: `'${given}' is too long; must be at most 3650d` })
  return z.NEVER
}).meta({
  id: 'duration', pattern: '^\\d+(\\.\\d+)? *(ms|s|m|h|d|w)?$',
  description: 'A number and ms, s, m, h, d or w, such as 300ms or 7d; a bare number counts seconds.',
})

const sizeHelp = 'is not a size: write a number and k, M or G, such as 64M'

/** A size; a bare number counts bytes, k, M and G are powers of 1024. Gives bytes. */
export const size = z.union([z.number(), z.string()], sizeHelp).transform((given, context): number => {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?$/i.exec(String(given).trim())
  if (match?.[1] === undefined) {
    context.addIssue({ code: 'custom', message: `'${given}' ${sizeHelp}` })
    return z.NEVER
  }
  return Math.round(Number(match[1]) * bytesPerUnit[(match[2] ?? '').toLowerCase() as keyof typeof bytesPerUnit])
}).meta({
  id: 'size', pattern: '^\\d+(\\.\\d+)? *[kKmMgG]?([iI]?[bB])?$',
  description: 'A number and k, M or G (powers of 1024), such as 64M; a bare number counts bytes.',
})

const shareHelp = 'is not a share: write a percentage such as 30%'

/** A share: `30%` or 0.3. Gives a number from 0 to 1. */
export const share = z.union([z.number(), z.string()], shareHelp).transform((given, context): number => {
  const match = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(String(given).trim())
  const value = match?.[1] === undefined ? NaN : Number(match[1]) / (match[2] === '%' ? 100 : 1)
  if (!(value >= 0 && value <= 1)) {
    context.addIssue({ code: 'custom', message: `'${given}' ${shareHelp}` })
    return z.NEVER
  }
  return value
}).meta({
  id: 'share', pattern: '^\\d+(\\.\\d+)? *%?$',
  description: 'A percentage such as 30%, or a number from 0 to 1 such as 0.3.',
})
