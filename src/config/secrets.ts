/** Passwords and tokens, which stand in the configuration, in a file of their own, or in the environment. */
import type { ParameterPath } from './parse.js'
import { readNamed } from './reading.js'
import type { Reading } from './reading.js'

/** A shorter token can be guessed. */
const minTokenLength = 16

/** The secret that `NAME`, `NAME_file` or `NAME_env` gives in `section`, which is at `path`; undefined if none does. */
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
  if (second !== undefined) problem([...path, second], `${first} and ${second} both give the ${name}: keep one`)
  const file = valueOf(inFile)
  if (file !== undefined) return readNamed(reading, [...path, inFile], file)?.toString('utf8').split(/\r?\n/, 1)[0]
  const variable = valueOf(inEnvironment)
  if (variable === undefined) return valueOf(name)
  const value = environment[variable]
  if (value === undefined) {
    problem([...path, inEnvironment], `${inEnvironment}: the environment has no variable '${variable}'`)
  }
  return value
}

/** The token for commands by HTTP; null if there is none. */
export const adminTokenOf = (reading: Reading, file: Readonly<Record<string, unknown>>): string | null => {
  const token = secretOf(reading, [], file, 'admin_token')
  if (token !== undefined && token.length < minTokenLength) {
    const parameter = ['admin_token', 'admin_token_file', 'admin_token_env'].find(name => name in file) ?? 'admin_token'
    reading.problem([parameter],
      `admin_token: shorter than ${minTokenLength} characters; \`openssl rand -hex 16\` gives a good one`)
  }
  return token ?? null
}
