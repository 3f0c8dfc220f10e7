/** The drill itself: phase by phase, the same load on every Postfix while something breaks. */
import { greet, newNeeded, runLoad } from './load.js'
import type { Load } from './load.js'
import type { Phase } from './phases.js'
import { untilSure } from './probe.js'
import { insertSql, known, rare } from './recipients.js'
import { startStage } from './stage.js'
import type { Contestant, Peer, Stage } from './stage.js'
import { summarize } from './tally.js'
import type { Summary } from './tally.js'

export type PhaseReport = {
  readonly phase: string
  readonly stopsHoldfast: boolean
  /** Seconds after the mending until Holdfast could tell again who is unknown. */
  readonly healed: number
  readonly peers: Readonly<Partial<Record<Peer, Summary & { readonly bounced: number, readonly queued: number }>>>
  /** A few of Holdfast's false rejects and bounces, to look into. */
  readonly evidence: readonly string[]
}

/** How often accepted mail had to wait in the queue, in the log from that character on. */
const deferrals = ({ postfix }: Contestant, from: number): number => postfix.log().slice(from).match(/status=deferred/g)?.length ?? 0

/** Recipients that bounced though they had been accepted, in the log from that character on. */
const bounces = ({ postfix }: Contestant, from: number): readonly string[] =>
  postfix.log().slice(from).match(/^.* to=<[^>]*@(v|relay)\.example>.* status=bounced.*$/gm) ?? []

const insertNew = async ({ mariadb, contestants }: Stage, phase: Phase, count: number): Promise<void> => {
  const [addresses] = contestants.map(({ recipients }) => recipients.renew(count))
  if (addresses !== undefined && phase.isCutOff !== true) await mariadb.sql(insertSql(addresses))
}

const runPhase = async (stage: Stage, phase: Phase, isContinued: boolean, load: Load): Promise<PhaseReport> => {
  const { contestants } = stage
  const logged = new Map(contestants.map(({ peer, postfix }) => [peer, postfix.log().length]))
  let mend: () => Promise<void>
  const loads = (): Promise<readonly (readonly [Contestant, Summary, readonly string[]])[]> =>
    Promise.all(contestants.map(async contestant => {
      const tally = await runLoad(contestant.postfix.smtpPort, contestant.recipients, load)
      return [contestant, summarize(tally), tally.falseRejects] as const
    }))
  let results: Awaited<ReturnType<typeof loads>>
  if (phase.isBrokenFirst === true) {
    await insertNew(stage, phase, newNeeded(load.durationMs))
    mend = await phase.go(stage)
    results = await loads()
  } else if (phase.continues === true || phase.isCutOff === true) {
    mend = await phase.go(stage)
    await insertNew(stage, phase, newNeeded(load.durationMs))
    results = await loads()
  } else {
    await insertNew(stage, phase, newNeeded(load.durationMs))
    // It breaks while mail is coming in.
    const running = loads()
    mend = await phase.go(stage)
    results = await running
  }
  const from = performance.now()
  if (!isContinued) {
    await mend()
    await untilSure(stage.holdfast, ['virtual_alias', 'relay_recipient'])
  }
  const healed = (performance.now() - from) / 1_000
  const peers: Partial<Record<Peer, Summary & { bounced: number, queued: number }>> = {}
  const evidence: string[] = []
  for (const [contestant, summary, falseRejects] of results) {
    const loggedFrom = logged.get(contestant.peer) ?? 0
    const bounced = bounces(contestant, loggedFrom)
    peers[contestant.peer] = { ...summary, bounced: bounced.length, queued: deferrals(contestant, loggedFrom) }
    if (contestant.peer === 'holdfast') evidence.push(...falseRejects.slice(0, 5), ...bounced.slice(0, 5))
  }
  return { phase: phase.name, stopsHoldfast: phase.stopsHoldfast === true, healed, peers, evidence }
}

/**
 * Runs these phases on these peers; `onPhase` hears of each as it ends. Before
 * a phase that continues none, every Postfix is reloaded: a peer's memory of
 * the last fault (mysql: leaves a server alone for a minute) would be measured
 * in the next one. Holdfast is not.
 */
export const runDrill = async (
  wanted: readonly Peer[], phases: readonly Phase[], load: Load, onPhase: (report: PhaseReport) => void,
): Promise<readonly PhaseReport[]> => {
  const stage = await startStage(wanted)
  try {
    for (const { postfix } of stage.contestants) await greet(postfix.smtpPort, [...known, ...rare])
    const reports: PhaseReport[] = []
    for (const [index, phase] of phases.entries()) {
      if (index > 0 && phase.continues !== true) await Promise.all(stage.contestants.map(({ postfix }) => postfix.reload()))
      const report = await runPhase(stage, phase, phases[index + 1]?.continues === true, load)
      reports.push(report)
      onPhase(report)
    }
    return reports
  } finally {
    await stage.stop()
  }
}
