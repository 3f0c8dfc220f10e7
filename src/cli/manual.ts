/** `holdfast manual`, `completion` and `schema`: print files that the build has made (deploy/pages.ts). */
import { readFileSync } from 'node:fs'
import { packageFile } from '../runtime/package.js'

/** Prints a file that ships beside the program. */
export const printPage = (name: string, process: NodeJS.Process): number => {
  process.stdout.write(readFileSync(packageFile(`dist/holdfast/${name}`)))
  return 0
}
