/** The drill's figures as a table for people, and the goals that were missed. */
import type { PhaseReport } from './run.js'
import { peers } from './stage.js'

const columns = ['known', 'rare', 'new', 'deferred', 'rejected', 'no reply', 'FALSE REJ', 'bounced', 'queued', 'p50 s', 'p99 s', 'max s']

const row = (name: string, cells: readonly string[]): string =>
  `  ${name.padEnd(14)}${cells.map(cell => cell.padStart(10)).join('')}`

export const heading = row('', columns)

const percent = (share: number | null): string => share === null ? '-' : `${share === 100 ? '100' : Math.min(share, 99.9).toFixed(1)} %`

/** Writes a phase: a line for each Postfix. */
export const phaseText = ({ phase, healed, peers: summaries, evidence }: PhaseReport): string => [
  `${phase}${healed < 0.5 ? '' : `; Holdfast is sure again after ${healed.toFixed(1)} s`}`,
  ...peers.flatMap(peer => {
    const summary = summaries[peer]
    if (summary === undefined) return []
    const { accepted, deferred, rejected, unanswered, falseRejects, bounced, queued, p50, p99, max } = summary
    return [row(peer, [
      percent(accepted.known), percent(accepted.rare), percent(accepted.new),
      ...[deferred, rejected, unanswered, falseRejects, bounced, queued].map(String), ...[p50, p99, max].map(seconds => seconds.toFixed(3)),
    ])]
  }),
  ...evidence.map(line => `    ${line}`),
].join('\n')

/** The longest time that a RCPT, with all its lookups, may take (seconds). */
const longestRcpt = 1

/** unsafe: an existing recipient was refused or bounced. unserved: a known one was deferred. slow: a RCPT was slow. */
export type Miss = { readonly kind: 'unsafe' | 'unserved' | 'slow', readonly text: string }

/**
 * Lists the goals that Holdfast missed. The goals: no existing recipient is
 * rejected or bounced; while Holdfast runs, each known recipient is accepted;
 * no RCPT takes longer than a second.
 */
export const misses = (reports: readonly PhaseReport[]): readonly Miss[] => reports.flatMap(({ phase, stopsHoldfast, peers: { holdfast } }) => {
  if (holdfast === undefined) return []
  const { accepted, falseRejects, bounced, queued, messages, max } = holdfast
  const found: Miss[] = []
  const miss = (kind: Miss['kind'], text: string): void => { found.push({ kind, text: `${phase}: ${text}` }) }
  if (falseRejects > 0) miss('unsafe', `${falseRejects} false rejects`)
  if (bounced > 0) miss('unsafe', `${bounced} accepted recipients bounced`)
  if (messages.rejected > 0) miss('unsafe', `${messages.rejected} messages to accepted recipients rejected`)
  if (stopsHoldfast) return found
  for (const kind of ['known', 'rare'] as const) {
    if (accepted[kind] !== 100) miss('unserved', `of the ${kind} recipients ${percent(accepted[kind])} accepted`)
  }
  const unsent = messages.deferred + messages.unanswered
  if (unsent > 0) miss('unserved', `${unsent} messages to accepted recipients deferred`)
  if (queued > 0) miss('unserved', `${queued} deliveries of accepted mail deferred`)
  if (max > longestRcpt) miss('slow', `RCPT took up to ${max.toFixed(3)} s`)
  return found
})
