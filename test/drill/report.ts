/** The drill's figures as a table for people, and whether the goals are met. */
import type { PhaseReport } from './run.js'
import { deadlineMs, peers } from './stage.js'

const columns = ['known', 'rare', 'new', 'deferred', 'rejected', 'no reply', 'FALSE REJ', 'bounced', 'p50 s', 'p99 s', 'max s']

const row = (name: string, cells: readonly string[]): string =>
  `  ${name.padEnd(14)}${cells.map(cell => cell.padStart(10)).join('')}`

export const heading = row('', columns)

const percent = (share: number | null): string => share === null ? '-' : `${share === 100 ? '100' : Math.min(share, 99.9).toFixed(1)} %`

/** One phase: a line for each Postfix. */
export const phaseText = ({ phase, healed, peers: summaries, evidence }: PhaseReport): string => [
  `${phase}${healed < 0.5 ? '' : `; Holdfast is sure again after ${healed.toFixed(1)} s`}`,
  ...peers.flatMap(peer => {
    const summary = summaries[peer]
    if (summary === undefined) return []
    const { accepted, deferred, rejected, unanswered, falseRejects, bounced, p50, p99, max } = summary
    return [row(peer, [
      percent(accepted.known), percent(accepted.rare), percent(accepted.new),
      ...[deferred, rejected, unanswered, falseRejects, bounced].map(String), ...[p50, p99, max].map(seconds => seconds.toFixed(3)),
    ])]
  }),
  ...evidence.map(line => `    ${line}`),
].join('\n')

/** RCPT may take this much longer than Holdfast's deadline (seconds). */
const grace = 0.5

/**
 * The goals that Holdfast missed, a sentence each: nobody who exists is
 * rejected or bounced; while it runs, everybody it knows is accepted; and no
 * RCPT takes much longer than its deadline.
 */
export const misses = (reports: readonly PhaseReport[]): readonly string[] => reports.flatMap(({ phase, stopsHoldfast, peers: { holdfast } }) => {
  if (holdfast === undefined) return []
  const { accepted, falseRejects, bounced, messages, max } = holdfast
  const found: string[] = []
  if (falseRejects > 0) found.push(`${phase}: ${falseRejects} false rejects`)
  if (bounced > 0) found.push(`${phase}: ${bounced} accepted recipients bounced`)
  if (messages.rejected > 0) found.push(`${phase}: ${messages.rejected} messages to accepted recipients rejected`)
  if (stopsHoldfast) return found
  for (const kind of ['known', 'rare'] as const) {
    if (accepted[kind] !== 100) found.push(`${phase}: of the ${kind} recipients ${percent(accepted[kind])} accepted`)
  }
  if (messages.deferred + messages.unanswered > 0) found.push(`${phase}: ${messages.deferred + messages.unanswered} messages to accepted recipients deferred`)
  if (max > deadlineMs / 1_000 + grace) found.push(`${phase}: RCPT took up to ${max.toFixed(3)} s`)
  return found
})

/** Whether anybody was told that a recipient doesn't exist who does. */
export const isUnsafe = (reports: readonly PhaseReport[]): boolean => reports.some(({ peers: { holdfast } }) =>
  holdfast !== undefined && holdfast.falseRejects + holdfast.bounced + holdfast.messages.rejected > 0)
