/**
 * What the build makes of the command line, of the configuration's schema, of the messages of the log and of README.md,
 * to ship as files: both pages of the manual, the completion scripts and the JSON Schema.
 */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { standardConfig } from '../../src/cli/daemon_at.js'
import { createProgram } from '../../src/cli/program.js'
import { packageFile, version } from '../../src/runtime/package.js'
import { bashCompletion, completionsOf, fishCompletion, zshCompletion } from './completion.js'
import { configPage } from './config_page.js'
import { readExplanations } from './explanations.js'
import { jsonSchema } from './json_schema.js'
import { programPage } from './program_page.js'

/** The text of each file by its name. `date` is what the pages bear. */
export const pages = (date: Date): ReadonlyMap<string, string> => {
  const program = createProgram(process)
  const schema = jsonSchema()
  const read = (file: string): string => readFileSync(packageFile(file), 'utf8')
  const completions = completionsOf(program, standardConfig)
  return new Map([
    ['holdfast.8', programPage(program, readExplanations(), read('README.md'), version, date)],
    ['holdfast.yaml.5', configPage(schema, parse(read('deploy/pages/examples.yaml')), version, date)],
    ['holdfast.bash', bashCompletion(completions)],
    ['_holdfast', zshCompletion(completions)],
    ['holdfast.fish', fishCompletion(completions)],
    ['holdfast.schema.json', `${JSON.stringify(schema, null, 2)}\n`],
  ])
}
