/** `holdfast manual`: holdfast(8) and holdfast.yaml(5), in mdoc(7), from the commands and the schema as they are. */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { jsonSchema } from '../config/json_schema.js'
import { configPage } from '../manual/config_page.js'
import { programPage } from '../manual/program_page.js'
import { packageFile, version } from '../runtime/package.js'

const sample = packageFile('deploy/holdfast.yaml')

/** The text of a page. Its date is today's, or SOURCE_DATE_EPOCH's (reproducible-builds.org), in seconds. */
export const manual = (program: Command, name: string, environment: NodeJS.ProcessEnv): string => {
  const epoch = environment['SOURCE_DATE_EPOCH']
  const date = epoch === undefined ? new Date() : new Date(Number(epoch) * 1_000)
  return name === 'holdfast'
    ? programPage(program, version, date)
    : configPage(jsonSchema(), readFileSync(sample, 'utf8'), version, date)
}
