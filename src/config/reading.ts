/**
 * What the checks of each section share: where it stands, where its files are, its secrets, and the list of problems.
 */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Problem } from '../log.js'
import type { Faults } from './config.js'
import { mapOf } from './parse.js'
import type { ParameterPath, PlaceOf } from './parse.js'
import { cantRead } from '../runtime/hidden.js'

export type Reading = {
  readonly fileName: string
  /** Relative paths are resolved against this folder. */
  readonly folder: string
  readonly environment: NodeJS.ProcessEnv
  readonly placeOf: PlaceOf
  /** Notes what is wrong with the parameter at `path`. */
  readonly problem: (path: ParameterPath, text: string) => void
  /** Problems of the configuration as a whole. */
  readonly problems: readonly Problem[]
  /** Problems of single maps, by map. */
  readonly faults: Map<string, readonly Problem[]>
}

/** A reading without other problems so far than `given`; `mapsWith` names the maps that use a database. */
export const startReading = (
  fileName: string, placeOf: PlaceOf, environment: NodeJS.ProcessEnv, given: Faults,
  mapsWith: (database: string) => readonly string[],
): Reading => {
  const problems: Problem[] = []
  const faults = new Map<string, readonly Problem[]>(given)
  const mapsAt = (path: ParameterPath): readonly string[] => {
    const map = mapOf(path)
    return map !== null ? [map] : path[0] === 'databases' && path[1] !== undefined ? mapsWith(String(path[1])) : []
  }
  return {
    fileName, folder: dirname(resolve(fileName)), environment, placeOf, problems, faults,
    problem: (path, text) => {
      const [problem, maps] = [{ place: placeOf(path), text }, mapsAt(path)]
      if (maps.length === 0) problems.push(problem)
      for (const map of maps) faults.set(map, [...faults.get(map) ?? [], problem])
    },
  }
}

/** The content of a file that the parameter at `path` names; undefined, and a problem, if it can't be read. */
export const readNamed = ({ folder, problem }: Reading, path: ParameterPath, name: string): Buffer | undefined => {
  const file = resolve(folder, name)
  try {
    return readFileSync(file)
  } catch (error) {
    problem(path, `${String(path.at(-1))}: ${file} ${cantRead(error, file)}`)
    return undefined
  }
}

/**
 * A password or token, as `NAME`, `NAME_file` or `NAME_env` gives it in `section`, which is at `path`; undefined if
 * none does.
 */
export const secretOf = (
  reading: Reading, path: ParameterPath, section: Readonly<Record<string, unknown>>, name = 'password',
): string | undefined => {
  const { problem, environment } = reading
  const valueOf = (parameter: string): string | undefined => {
    const value = section[parameter]
    return typeof value === 'string' ? value : undefined
  }
  const [inFile, inEnvironment] = [`${name}_file`, `${name}_env`]
  const [first, second] = [name, inFile, inEnvironment].filter(parameter => valueOf(parameter) !== undefined)
  if (second !== undefined) problem([...path, second], `${second}: is set together with ${first}: keep one of the two`)
  const file = valueOf(inFile)
  if (file !== undefined) return readNamed(reading, [...path, inFile], file)?.toString('utf8').split(/\r?\n/, 1)[0]
  const variable = valueOf(inEnvironment)
  if (variable === undefined) return valueOf(name)
  const value = environment[variable]
  if (value === undefined) {
    problem([...path, inEnvironment], `${inEnvironment}: the environment has no variable '${variable}': `
      + `set it, or use ${inFile}`)
  }
  return value
}

/** A shorter token can be guessed. */
const minTokenLength = 16

/** The token for commands by HTTP; null if there is none. */
export const adminTokenOf = (reading: Reading, file: Readonly<Record<string, unknown>>): string | null => {
  const token = secretOf(reading, [], file, 'admin_token')
  if (token !== undefined && token.length < minTokenLength) {
    const parameter = ['admin_token', 'admin_token_file', 'admin_token_env'].find(name => name in file) ?? 'admin_token'
    reading.problem([parameter],
      `${parameter}: the token has ${token.length} characters; must be at least ${minTokenLength}: `
        + '`openssl rand -hex 16` makes one')
  }
  return token ?? null
}
