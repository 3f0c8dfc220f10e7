#!/usr/bin/env node
/** The program's start: the only file that takes the environment and the streams from the process, or ends it. */
import { exitTempfail } from './cli/terminal.js'
import { createProgram } from './cli/program.js'

process.on('uncaughtException', error => {
  // A bug. Whoever supervises us starts a new process; Postfix asks again by itself.
  process.stderr.write(`holdfast: bug: ${error.stack ?? error.message}\n`)
  process.exit(exitTempfail)
})

await createProgram(process).parseAsync()
