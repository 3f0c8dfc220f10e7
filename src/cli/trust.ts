/** `holdfast trust`: has the daemon believe a table whose known keys are gone. */
import { command } from './call.js'
import { adminAt } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'

/** Throws Failure if the daemon can't be asked, or refuses. */
export const trust = async (map: string, options: DaemonOptions, process: NodeJS.Process): Promise<number> => {
  process.stdout.write(await command(await adminAt(options, process.env), '/trust', { map }))
  return 0
}
