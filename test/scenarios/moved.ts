/** A Postfix that is moved over to a Holdfast of its own, with the configuration that adopt writes and its defaults. */
import { join } from 'node:path'
import type * as Tap from 'tap'
import { startChild } from '../fixtures/child.js'
import type { Child } from '../fixtures/child.js'
import { mainFile, passHalfAnHour, shiftClock } from '../fixtures/daemon.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { switchOver, writeConfig } from '../fixtures/move_over.js'
import { startBed } from './adopt.js'
import type { Shape } from './adopt.js'

/** `more`: lines for holdfast.yaml. */
export const moveOver = async (t: Tap.Test, shape: Shape, mariadb: Mariadb, more = '') => {
  const bed = await startBed(t, shape, mariadb)
  const config = join(bed.folder, 'holdfast.yaml')
  await writeConfig(t, bed.postfix, config, more)
  const state = join(bed.folder, 'state')
  let shiftMs = 0
  const launch = async (): Promise<Child> => {
    // As the service does: for the snapshot and the copies.
    const env = { ...process.env, STATE_DIRECTORY: state, SHIFT_MS: String(shiftMs) }
    const child = await startChild(process.execPath, ['--import', shiftClock, mainFile, 'serve', config], { env })
    await child.printed(/\bready: \d+ map/)
    return child
  }
  let daemon = await launch()
  t.teardown(() => daemon.kill())
  await switchOver(t, bed.postfix)
  return {
    bed,
    /** The file of what it knows. */
    snapshot: join(state, 'snapshot'),
    /** Resolves when as many tables were copied as there are maps. */
    copies: async (): Promise<void> => {
      const maps = /ready: (\d+) maps?/.exec(daemon.output())?.[1]
      for (let from = 0, count = 0; count < Number(maps); count++) {
        const { index } = await daemon.printed(/a copy of its table \(\d+ rows?\) is ready/, from)
        from = index + 1
      }
    },
    /** Its clock is half an hour on. */
    wait: async (): Promise<void> => { shiftMs = await passHalfAnHour(daemon, shiftMs) },
    /** With SIGKILL it loses what it learned just before. `meanwhile` happens while it is not there. */
    restart: async (signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM', meanwhile?: () => void): Promise<void> => {
      daemon.signal(signal)
      await daemon.exited
      meanwhile?.()
      daemon = await launch()
    },
  }
}
