/** `holdfast trust`, `flush`, `warm` and `forget`: have the running daemon do something. */
import { adminAt, call } from './daemon_at.js'
import type { DaemonOptions } from './daemon_at.js'

/**
 * Sends the daemon a command, such as `/flush` with a map and a key, and prints what it did, however long that takes.
 * Throws Failure if the daemon can't be asked, or refuses.
 */
export const act = async (
  path: string, body: Readonly<Record<string, string | undefined>>, options: DaemonOptions, process: NodeJS.Process,
): Promise<number> => {
  const { done } = await call(await adminAt(options, process), path, body, 0) as { done: string }
  process.stdout.write(`${done}\n`)
  return 0
}
