/**
 * Runs commands of Holdfast in this process, because to start a Node for each would take longer than the rest of a
 * scenario. The tests in test/scenarios start the program as it ships.
 */
import { EventEmitter } from 'node:events'
import { adopt } from '../../src/cli/adopt.js'
import type { AdoptOptions } from '../../src/cli/adopt.js'
import { serve } from '../../src/cli/serve.js'
import { Failure } from '../../src/cli/terminal.js'

/** Stands in for the process of a command, and collects what the command prints. */
const standIn = (printed: (output: string) => void = () => undefined) => {
  let output = ''
  const stream = {
    write: (text: string): boolean => {
      output += text
      printed(output)
      return true
    },
  }
  const signals = Object.assign(new EventEmitter(), { env: {}, pid: process.pid, stdout: stream, stderr: stream })
  return { signals, its: signals as unknown as NodeJS.Process, output: () => output }
}

/** Runs `holdfast adopt`. */
export const runAdopt = async (options: AdoptOptions): Promise<{ readonly code: number, readonly output: string }> => {
  const { its, output } = standIn()
  try {
    return { code: await adopt(options, its), output: output() }
  } catch (error) {
    if (error instanceof Failure) return { code: error.exitCode, output: `${output()}${error.message}` }
    throw error
  }
}

/** Runs `holdfast serve`, and resolves when it is ready. Rejects if it ends before. */
export const startServe = async (config: string): Promise<{ stop(): Promise<void> }> => {
  let ready: () => void
  const isReady = new Promise<void>(resolve => { ready = resolve })
  const { signals, its, output } = standIn(text => { if (/\bready\b/.test(text)) ready() })
  const ended = serve(config, its)
  await Promise.race([isReady, ended.then(code => { throw new Error(`serve ended with ${code}: ${output()}`) })])
  return {
    stop: async () => {
      signals.emit('SIGTERM', 'SIGTERM')
      await ended
    },
  }
}
