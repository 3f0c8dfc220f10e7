/** Asks Holdfast for addresses that nobody has asked for before: does it say absent? */
import { setTimeout } from 'node:timers/promises'
import type { Holdfast } from '../fixtures/daemon.js'
import { socketmapAsk } from '../fixtures/wire.js'

type MapName = 'virtual_alias' | 'relay_recipient'

const healingLimitMs = 60_000
const pauseMs = 50
let probes = 0

const ask = async ({ dir }: Holdfast, map: MapName): Promise<string> => {
  const domain = map === 'virtual_alias' ? 'v.example' : 'relay.example'
  return socketmapAsk(`${dir}/s`, map, `probe${probes++}@${domain}`).catch(() => 'not running')
}

/** Resolves when Holdfast says absent in each of these maps; rejects if that takes a minute. */
export const untilSure = async (holdfast: Holdfast, maps: readonly MapName[]): Promise<void> => {
  const until = performance.now() + healingLimitMs
  for (const map of maps) {
    for (;;) {
      const reply = await ask(holdfast, map)
      if (reply === 'NOTFOUND ') break
      if (performance.now() > until) throw new Error(`Holdfast doesn't recover: map ${map}: ${reply}\n${holdfast.log()}`)
      await setTimeout(pauseMs)
    }
  }
}

/** Resolves when Holdfast no longer says absent. */
export const untilUnsure = async (holdfast: Holdfast): Promise<void> => {
  while (await ask(holdfast, 'virtual_alias') === 'NOTFOUND ') await setTimeout(pauseMs)
}

/** Resolves when Holdfast answers, whatever it says. */
export const untilRunning = async (holdfast: Holdfast): Promise<void> => {
  while (await ask(holdfast, 'virtual_alias') === 'not running') await setTimeout(pauseMs)
}

/** Asks once a second for so long (ms), as if from a host with little mail. */
export const askFor = async (holdfast: Holdfast, durationMs: number): Promise<void> => {
  for (const until = performance.now() + durationMs; performance.now() < until;) {
    await ask(holdfast, 'virtual_alias')
    await setTimeout(1_000)
  }
}
