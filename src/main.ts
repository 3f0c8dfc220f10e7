#!/usr/bin/env node
/** The program's start: the only file that takes the environment and the streams from the process, or ends it. */
// A reload that is asked for while the daemon starts must not end it. So this comes before anything is loaded.
if (process.argv[2] === 'serve') process.on('SIGHUP', () => undefined)

const { createProgram } = await import('./cli/program.js')
const { exitTempfail } = await import('./cli/terminal.js')

process.on('uncaughtException', error => {
  // A bug. Whoever supervises us starts a new process; Postfix asks again by itself.
  process.stderr.write(`holdfast: bug: ${error.stack ?? error.message}\n`)
  process.exit(exitTempfail)
})

await createProgram(process).parseAsync()
