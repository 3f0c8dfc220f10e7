/** Starts a loader (loader.ts) and attends to it: whatever becomes of that process, this one goes on. */
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../runtime/clock.js'
import { messageOf } from '../log.js'
import { forkOwn } from '../runtime/own_process.js'
import type { Ended, FromLoader, Job, Told } from './job.js'

const program = fileURLToPath(new URL('loader.js', import.meta.url))

/** In MB. Rows are garbage a moment after they came, and the less room there is, the sooner V8 collects it. */
const memoryFlags = ['--max-semi-space-size=2', '--max-old-space-size=96']
/** One that hasn't been heard of for so long (ms) is killed. */
const hungMs = 30_000

export type Attended = {
  readonly clock: Clock
  /** Several times a second. */
  readonly onProgress: (told: Told) => void
  /** Why it must not go on, asked as often; null if it may. */
  readonly objection: () => string | null
}

export type Apart = {
  /** What came of it; the process is gone by then. Never rejects. */
  readonly ended: Promise<Ended>
  /** Kills it. */
  readonly end: (problem: string) => void
}

export const loadApart = (job: Job, { clock, onProgress, objection }: Attended): Apart => {
  let child: ChildProcess
  try {
    child = forkOwn(program, [], { serialization: 'advanced', execArgv: [...process.execArgv, ...memoryFlags] })
  } catch (error) {
    return { ended: Promise.resolve({ problem: `no process could be started: ${messageOf(error)}` }), end: () => undefined }
  }
  /** What came of it; undefined as long as it is at it. */
  let problem: string | null | undefined
  const end = (why: string): void => {
    if (problem === undefined) problem = why
    child.kill('SIGKILL')
  }
  let isHeard = (): void => undefined
  const listen = (): void => {
    isHeard()
    isHeard = clock.after(hungMs, () => end(`the process that loads has not been heard of for ${hungMs / 1_000} s`))
  }
  const ended = new Promise<Ended>(resolve => {
    child.on('message', (message: FromLoader) => {
      listen()
      if (problem !== undefined) return
      onProgress(message)
      switch (message.kind) {
        case 'progress': {
          const why = objection()
          if (why !== null) end(why)
          return
        }
        case 'end':
          problem = message.problem
          return
        default: message satisfies never
      }
    })
    child.on('error', error => {
      end(`the process that loads: ${error.message}`)
      if (child.pid === undefined) resolve({ problem: error.message })
    })
    // All that it said has been heard by then.
    child.once('close', (code, signal) => {
      isHeard()
      resolve({ problem: problem === undefined ? `the process that loads ended by ${signal ?? `exit code ${code ?? 'none'}`}` : problem })
    })
  })
  listen()
  child.send(job, () => undefined)
  return { ended, end }
}
