/** What the checks of each section share: where it stands, where its files are, and the list of problems. */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Problem } from '../log.js'
import { messageOf } from '../log.js'
import type { ParameterPath, PlaceOf } from './parse.js'

export type Reading = {
  readonly fileName: string
  /** Relative paths are resolved against this folder. */
  readonly folder: string
  readonly environment: NodeJS.ProcessEnv
  readonly placeOf: PlaceOf
  /** Notes what is wrong with the parameter at `path`. */
  readonly problem: (path: ParameterPath, text: string) => void
  readonly problems: readonly Problem[]
}

/** A reading without problems so far. */
export const startReading = (fileName: string, placeOf: PlaceOf, environment: NodeJS.ProcessEnv): Reading => {
  const problems: Problem[] = []
  return {
    fileName, folder: dirname(resolve(fileName)), environment, placeOf, problems,
    problem: (path, text) => { problems.push({ place: placeOf(path), text }) },
  }
}

/** The content of a file that the parameter at `path` names; undefined, and a problem, if it can't be read. */
export const readNamed = ({ folder, problem }: Reading, path: ParameterPath, name: string): Buffer | undefined => {
  const file = resolve(folder, name)
  try {
    return readFileSync(file)
  } catch (error) {
    problem(path, `${String(path.at(-1))}: ${file} can't be read: ${messageOf(error)}`)
    return undefined
  }
}
