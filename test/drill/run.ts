/** Runs the drill: in each phase something breaks while every Postfix has the same load. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Holdfast } from '../fixtures/daemon.js'
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
  /** Seconds from the end of the fault until Holdfast says absent again for unknown recipients. */
  readonly healed: number
  readonly peers: Readonly<Partial<Record<Peer, Summary & { readonly bounced: number, readonly queued: number }>>>
  /** Some of Holdfast's false rejects and bounces, with the reply or the log line. */
  readonly evidence: readonly string[]
}

/** Counts how often accepted mail had to wait in the queue; `from`: where in the log to begin. */
const deferrals = ({ postfix }: Contestant, from: number): number =>
  postfix.log().slice(from).match(/status=deferred/g)?.length ?? 0

/** Lists the log lines of recipients that bounced after they were accepted; `from`: where in the log to begin. */
const bounces = ({ postfix }: Contestant, from: number): readonly string[] =>
  postfix.log().slice(from).match(/^.* to=<[^>]*@(v|relay)\.example>.* status=bounced.*$/gm) ?? []

/** Whatever an earlier phase had accepted is delivered or deferred: else the next phase would count it as its own. */
const untilDelivered = async ({ postfix: { queueDir } }: Contestant): Promise<void> => {
  while (['incoming', 'active'].some(queue => readdirSync(join(queueDir, queue)).length > 0)) await setTimeout(50)
}

const insertNew = async ({ mariadb, contestants }: Stage, phase: Phase, count: number): Promise<void> => {
  const [addresses] = contestants.map(({ recipients }) => recipients.renew(count))
  if (addresses !== undefined && phase.isCutOff !== true) await mariadb.sql(insertSql(addresses))
}

const agingEveryMs = 3_000

/** Every three seconds half an hour goes by on Holdfast's clock, so that each known answer becomes stale in each phase. */
const whileAging = async <Value>(holdfast: Holdfast, run: () => Promise<Value>): Promise<Value> => {
  const isOver = new AbortController()
  // While Holdfast is down its clock stands.
  const age = (): Promise<void> => holdfast.halfAnHourPasses().catch(() => undefined)
  const { signal } = isOver
  const aging = (async () => {
    while (!signal.aborted) {
      await age()
      await setTimeout(agingEveryMs, undefined, { signal }).catch(() => undefined)
    }
  })()
  try {
    return await run()
  } finally {
    isOver.abort()
    await aging
  }
}

const runPhase = async (stage: Stage, phase: Phase, isContinued: boolean, load: Load): Promise<PhaseReport> => {
  const { contestants } = stage
  const logged = new Map(contestants.map(({ peer, postfix }) => [peer, postfix.log().length]))
  let mend: () => Promise<void>
  const loads = (): Promise<readonly (readonly [Contestant, Summary, readonly string[]])[]> =>
    whileAging(stage.holdfast, () => Promise.all(contestants.map(async contestant => {
      const tally = await runLoad(contestant.postfix.smtpPort, contestant.recipients, load)
      return [contestant, summarize(tally), tally.falseRejects] as const
    })))
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
    // The fault begins while mail is coming in.
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
 * Runs these phases on these peers; calls `onPhase` when one ends. Reloads every
 * Postfix before a phase that does not continue another, because `mysql:` asks a
 * failed server only after a minute again, which would count in the next phase.
 * Holdfast is not reloaded.
 */
export const runDrill = async (
  wanted: readonly Peer[], phases: readonly Phase[], load: Load, onPhase: (report: PhaseReport) => void,
): Promise<readonly PhaseReport[]> => {
  const stage = await startStage(wanted)
  try {
    for (const { postfix } of stage.contestants) await greet(postfix.smtpPort, [...known, ...rare])
    const reports: PhaseReport[] = []
    for (const [index, phase] of phases.entries()) {
      if (index > 0 && phase.continues !== true) {
        await Promise.all(stage.contestants.map(async contestant => {
          await untilDelivered(contestant)
          await contestant.postfix.reload()
        }))
      }
      const report = await runPhase(stage, phase, phases[index + 1]?.continues === true, load)
      reports.push(report)
      onPhase(report)
    }
    return reports
  } finally {
    await stage.stop()
  }
}
