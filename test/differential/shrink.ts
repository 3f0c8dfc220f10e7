/** Looks for the smallest part of a scenario that still differs. */
import type { Difference, Stage } from './pair.js'
import type { Scenario, Session } from './scenario.js'

export type Smallest = { readonly scenario: Scenario, readonly differences: readonly Difference[] }

/** The list without one half of it, then without each single element. */
function* smaller<T>(list: readonly T[]): Generator<readonly T[]> {
  if (list.length > 3) {
    const half = Math.ceil(list.length / 2)
    yield list.slice(half)
    yield list.slice(0, half)
  }
  for (const [index] of list.entries()) yield list.filter((_, at) => at !== index)
}

const omit = (settings: Readonly<Record<string, string>>, name: string): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(settings).filter(([each]) => each !== name))

/** Makes smaller scenarios, the most promising first. */
function* candidates(scenario: Scenario): Generator<Scenario> {
  const { main, overrides, rows, sessions } = scenario
  if (sessions.length > 1) for (const fewer of smaller(sessions)) yield { ...scenario, sessions: fewer }
  const [session] = sessions
  if (session !== undefined && sessions.length === 1) {
    for (const steps of smaller(session.steps)) yield {
      ...scenario, sessions: [{ ...session, steps }] satisfies Session[],
    }
  }
  for (const service of ['smtpd', 'cleanup', 'rewrite'] as const) {
    for (const name of Object.keys(overrides[service])) {
      yield { ...scenario, overrides: { ...overrides, [service]: omit(overrides[service], name) } }
    }
  }
  for (const name of Object.keys(main)) yield { ...scenario, main: omit(main, name) }
  const quarter = Math.ceil(rows.length / 4)
  for (let at = 0; quarter > 1 && at < rows.length; at += quarter) {
    yield { ...scenario, rows: rows.filter((_, index) => index < at || index >= at + quarter) }
  }
}

/** Tries smaller scenarios until none differs, or until `until` (performance.now()); drops rows of unused tables. */
export const shrink = async (stage: Stage, found: Smallest, until: number): Promise<Smallest> => {
  let smallest = found
  const first = new Set(found.differences.map(({ session }) => session))
  if (!first.has(null)) {
    const sessions = found.scenario.sessions.filter((_, index) => first.has(index))
    smallest = await differing(stage, { ...found.scenario, sessions }) ?? smallest
  }
  for (let isSmaller = true; isSmaller;) {
    isSmaller = false
    for (const candidate of candidates(smallest.scenario)) {
      if (performance.now() > until) return withoutRows(smallest)
      const again = await differing(stage, candidate)
      if (again === null) continue
      smallest = again
      isSmaller = true
      break
    }
  }
  return withoutRows(smallest)
}

const differing = async (stage: Stage, scenario: Scenario): Promise<Smallest | null> => {
  try {
    const compared = await stage.run(scenario)
    return compared.kind === 'compared' && compared.differences.length > 0 ? {
      scenario, differences: compared.differences,
    } : null
  } catch {
    // A Postfix that doesn't start without the setting that was left out.
    return null
  }
}

const withoutRows = ({ scenario, differences }: Smallest): Smallest => {
  const used = JSON.stringify([scenario.main, scenario.overrides])
  return {
    scenario: { ...scenario, rows: scenario.rows.filter(({ table }) => used.includes(`/${table}.cf`)) }, differences,
  }
}
