/** `holdfast reload`, for ExecReload= of the unit: has the daemon read its configuration, and waits for the verdict. */
import { readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { verdictFile } from '../daemon/systemd.js'
import { Failure, exitConfig, exitTempfail, exitUsage } from './terminal.js'

/** How often, and for how long (ms) at most, the verdict is looked for. */
const lookMs = 50
const patienceMs = 30_000

/**
 * Exit code: 0 if the whole configuration is in force. Throws Failure: 78 with its problems, 75 if the daemon doesn't
 * answer, 64 if systemd did not say where it is.
 */
export const reload = async (process: NodeJS.Process): Promise<number> => {
  const [file, pid] = [verdictFile(process.env), Number(process.env['MAINPID'] ?? 0)]
  if (file === null || !(pid > 0)) {
    throw new Failure(exitUsage, 'systemd runs this command; type: systemctl reload holdfast')
  }
  rmSync(file, { force: true })
  process.kill(pid, 'SIGHUP')
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += lookMs) {
    await sleep(lookMs)
    const verdict = verdictIn(file)
    if (verdict === '') return 0
    if (verdict !== null) throw new Failure(exitConfig, verdict.trimEnd())
  }
  throw new Failure(exitTempfail,
    `the daemon did not say within ${patienceMs / 1_000} s what came of it; look into its log: journalctl -u holdfast`)
}

/** null if there is none yet. */
const verdictIn = (file: string): string | null => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
