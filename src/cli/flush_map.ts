/** `holdfast flush`: has answers looked up again, on every node. */
import { command } from './call.js'
import { adminAt } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'

/**
 * `key`: an address, a domain, or `@DOMAIN` for all of a domain; undefined: the whole map. Throws Failure if the daemon
 * can't be asked, or refuses.
 */
export const flush = async (
  map: string, key: string | undefined, options: DaemonOptions, process: NodeJS.Process,
): Promise<number> => {
  const admin = await adminAt(options, process.env)
  process.stdout.write(await command(admin, '/flush', { map, ...key === undefined ? {} : { key } }))
  return 0
}
