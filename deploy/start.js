#!/usr/bin/env node
/** What `npx holdfast` runs: the built program; in a checkout that is not built yet, how to build it. */
import { existsSync } from 'node:fs'

const main = new URL('../dist/holdfast/main.js', import.meta.url)
if (existsSync(main)) await import(main)
else {
  process.stderr.write('holdfast: it is not built yet. Run `npm run build`, and try again\n')
  process.exitCode = 69
}
