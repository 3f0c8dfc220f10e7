/**
 * YAML text -> WrittenFile, or every problem at once, each with its line, its
 * parameter and what would be right.
 */
import { LineCounter, isMap, isNode, parseDocument, visit } from 'yaml'
import type { Document } from 'yaml'
import type * as z from 'zod'
import { hintFor, nearest } from './spelling.js'
import type { Problem } from '../log.js'
import { schema } from './schema.js'
import type { WrittenFile } from './schema.js'
import { messageOf } from '../log.js'
import type { Faults } from './config.js'

/** The names and indices that lead to a parameter: `['listen', 0, 'group']`. */
export type ParameterPath = readonly PropertyKey[]

/** The file and line of a parameter. */
export type PlaceOf = (path: ParameterPath) => string

export type Parsed =
  /** `faults`: the problems of maps that the file has and `file` lacks. */
  | { readonly ok: true, readonly file: WrittenFile, readonly placeOf: PlaceOf, readonly faults: Faults }
  | { readonly ok: false, readonly problems: readonly Problem[] }

const dotted = (path: ParameterPath): string => path.map(String).join('.')

/** The line of the deepest part of `path` that the document has. */
const lineOf = (document: Document, lines: LineCounter, path: ParameterPath): number => {
  for (let depth = path.length; depth > 0; depth--) {
    const parent: unknown = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true)
    const last = path[depth - 1]
    if (isMap(parent)) {
      const pair = parent.items.find(item => isNode(item.key) && String(item.key) === String(last))
      if (pair !== undefined && isNode(pair.key) && pair.key.range) return lines.linePos(pair.key.range[0]).line
    }
    const node: unknown = document.getIn(path.slice(0, depth), true)
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return 1
}

/** The line of the first alias, such as `*name`. */
const lineOfAlias = (document: Document, lines: LineCounter): number => {
  let line = 1
  visit(document, {
    Alias: (_key, { range }) => {
      if (range) line = lines.linePos(range[0]).line
      return visit.BREAK
    },
  })
  return line
}

/** The names that the schema has at `path`. */
const knownAt = (path: ParameterPath): readonly string[] => {
  let here: unknown = schema
  for (const part of path) {
    const inner: unknown = unwrap(here)
    const shape = shapeOf(inner)
    if (shape !== null) here = shape[String(part)]
    else if (typeof inner === 'object' && inner !== null && 'valueType' in inner) here = inner.valueType
    else if (typeof inner === 'object' && inner !== null && 'element' in inner) here = inner.element
    else return []
  }
  return Object.keys(shapeOf(unwrap(here)) ?? {})
}
const unwrap = (given: unknown): unknown => {
  let here = given
  while (typeof here === 'object' && here !== null && 'def' in here) {
    const definition = here.def
    if (typeof definition !== 'object' || definition === null || !('innerType' in definition)) return here
    here = definition.innerType
  }
  return here
}
const shapeOf = (given: unknown): Record<string, unknown> | null =>
  typeof given === 'object' && given !== null && 'shape' in given ? given.shape as Record<string, unknown> : null

/** `meant`: the parameter whose name may be misspelt there. */
type ExplainedFault = { readonly path: ParameterPath, readonly text: string, readonly meant?: ParameterPath }

const explain = (issue: z.core.$ZodIssue): readonly ExplainedFault[] => {
  if (issue.code === 'unrecognized_keys') {
    const known = knownAt(issue.path)
    return issue.keys.map(key => {
      const hint = hintFor(key, known, `; remove it, or use one that is known here: ${known.join(', ')}`)
      const meant = [...issue.path, nearest(key, known) ?? '']
      return { path: [...issue.path, key], text: `unknown parameter '${key}'${hint}`, meant }
    })
  }
  const name = issue.path.length === 0 ? 'the file' : dotted(issue.path)
  if (issue.path.at(-1) === 'search') {
    return [{
      path: issue.path,
      text: `${name}: ${issue.input === undefined ? 'is missing; ' : quoted(issue.input)}say how Postfix uses this `
        + 'map: virtual (virtual_alias_maps), canonical (canonical_maps), '
        + 'generic (smtp_generic_maps), transport (transport_maps), '
        + 'recipient (relay_recipient_maps, local_recipient_maps, virtual_mailbox_maps), '
        + 'domain (relay_domains), access (check_*_access), or exact (virtual_*_domains, or read through unionmap)',
    }]
  }
  return [{ path: issue.path, text: `${name}: ${remedy(issue)}` }]
}

const wanted: Readonly<Record<string, string>> = {
  array: 'a list', object: 'a section of NAME: VALUE', record: 'a section of NAME: VALUE', boolean: 'true or false',
  int: 'a whole number', number: 'a number', string: 'text, in quotes where it looks like a number',
}

/** What was found, as far as it may be shown: text or a number could be a password. */
const shown = (input: unknown): string => {
  if (typeof input === 'boolean') return String(input)
  if (typeof input === 'number' || typeof input === 'string') return typeof input === 'number' ? 'a number' : 'text'
  return Array.isArray(input) ? 'a list' : 'a section'
}

/** The text or number that a message of schema.ts is about. */
const quotedInput = (input: unknown): string =>
  typeof input === 'string' || typeof input === 'number' ? `'${input}' ` : ''

/** The same for what is one of some words, or should be. */
const quoted = (input: unknown): string => `is ${typeof input === 'string' ? `'${input}'` : shown(input)}; `

/**
 * What was found, and what would be right. zod's own messages are for programmers; those of schema.ts and units.ts are
 * kept.
 */
const remedy = (issue: z.core.$ZodIssue): string => {
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return `is missing; must be ${wanted[issue.expected] ?? issue.expected}`
      if (!issue.message.startsWith('Invalid')) return `${quotedInput(issue.input)}${issue.message}`
      if (issue.input === null) return `is empty; remove it, or write ${wanted[issue.expected] ?? issue.expected}`
      const isFraction = issue.expected === 'int' && typeof issue.input === 'number'
      const found = `is ${isFraction ? issue.input : shown(issue.input)}; must be`
      return `${found} ${wanted[issue.expected] ?? issue.expected}`
    }
    case 'invalid_value': return `${quoted(issue.input)}must be one of ${issue.values.map(String).join(', ')}`
    case 'invalid_union':
      return issue.message.startsWith('Invalid')
        ? `is ${shown(issue.input)}; must be one value, such as text or a number`
        : `${issue.message.startsWith('must') ? quoted(issue.input) : ''}${issue.message}`
    case 'invalid_key': return issue.issues[0]?.message ?? issue.message
    case 'too_small':
      if (issue.origin === 'string') return 'is empty; remove it, or write text'
      if (issue.origin === 'array') return `is empty; ${issue.message}`
      return `is ${String(issue.input)}; must be at least ${issue.minimum}`
    case 'too_big': return `is ${String(issue.input)}; must be at most ${issue.maximum}`
    case 'invalid_format': return `${quotedInput(issue.input)}${issue.message}`
    case 'custom': case 'not_multiple_of': case 'invalid_element': case 'unrecognized_keys':
      return issue.message
    default: return issue satisfies never
  }
}

const mostlyQuotes = 'put text with special characters in quotes'
const indented = `begin the lines of one section in one column, and ${mostlyQuotes}`

/** By the codes of the YAML library. */
const yamlRemedies: ReadonlyMap<string, string> = new Map([
  ['TAB_AS_INDENT', 'indent with blanks'], ['DUPLICATE_KEY', 'remove one of the two'],
  ['BAD_INDENT', indented], ['BLOCK_AS_IMPLICIT_KEY', indented], ['MULTILINE_IMPLICIT_KEY', indented],
  ['BLOCK_IN_FLOW', indented],
])

/** Reads the text of a configuration file; `fileName` is for the messages. */
export const parseConfig = (text: string, fileName: string): Parsed => {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const atLine = (line: number, problem: string): Problem => ({ place: `${fileName}:${line}`, text: problem })
  // What follows the first fault is mostly its echo.
  const [first] = document.errors
  if (first !== undefined) {
    const { pos, code, message } = first
    const problem = `not YAML: ${message}; ${yamlRemedies.get(code) ?? mostlyQuotes}`
    return { ok: false, problems: [atLine(lines.linePos(pos[0]).line, problem)] }
  }
  const placeOf: PlaceOf = path => `${fileName}:${lineOf(document, lines, path)}`
  let values: unknown
  try {
    values = document.toJS()
  } catch (error) {
    // An alias that names nothing: most likely text such as *name, without quotes.
    const problem = `not YAML: ${messageOf(error)}; put text that begins with * in quotes`
    return { ok: false, problems: [atLine(lineOfAlias(document, lines), problem)] }
  }
  const result = schema.safeParse(values ?? {}, { reportInput: true })
  if (result.success) return { ok: true, file: result.data, placeOf, faults: new Map() }
  const all = result.error.issues.flatMap(explain)
  const misspelt = new Set(all.flatMap(({ meant }) => meant === undefined ? [] : [dotted(meant)]))
  // A misspelt parameter is missing only in the second place.
  const found = all.filter(({ path, meant }) => meant !== undefined || !misspelt.has(dotted(path)))
  const faults = new Map<string, Problem[]>()
  for (const { path, text: problem } of found) {
    const map = mapOf(path)
    if (map !== null) faults.set(map, [...faults.get(map) ?? [], { place: placeOf(path), text: problem }])
  }
  const rest = found.every(({ path }) => mapOf(path) !== null) ? schema.safeParse(withoutMaps(values, faults)) : null
  if (rest?.success === true) return { ok: true, file: rest.data, placeOf, faults }
  return { ok: false, problems: found.map(({ path, text: problem }) => ({ place: placeOf(path), text: problem })) }
}

/** The map that a path leads into; null for everything else. */
export const mapOf = ([section, name]: ParameterPath): string | null =>
  section === 'maps' && name !== undefined ? String(name) : null

/** The values of a file without some of its maps. */
const withoutMaps = (values: unknown, left: ReadonlyMap<string, unknown>): unknown => {
  const { maps, ...others } = values as { readonly maps: Readonly<Record<string, unknown>> }
  return { ...others, maps: Object.fromEntries(Object.entries(maps).filter(([name]) => !left.has(name))) }
}
