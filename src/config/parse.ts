/**
 * YAML text -> ConfigFile, or every problem at once, each with its line, its
 * parameter and what would be right.
 */
import { LineCounter, isMap, isNode, parseDocument } from 'yaml'
import type { Document } from 'yaml'
import type { z } from 'zod'
import { nearest } from '../sources/nearest.js'
import type { Problem } from '../sources/problem.js'
import { schema } from './schema.js'
import type { ConfigFile } from './schema.js'

export type Places = (path: readonly PropertyKey[]) => string

export type Parsed =
  | { readonly ok: true, readonly file: ConfigFile, readonly placeOf: Places }
  | { readonly ok: false, readonly problems: readonly Problem[] }

const dotted = (path: readonly PropertyKey[]): string => path.map(String).join('.')

/** The line of the deepest part of `path` that the document has. */
const lineOf = (document: Document, lines: LineCounter, path: readonly PropertyKey[]): number => {
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

/** The names that the schema knows at `path`. */
const knownAt = (path: readonly PropertyKey[]): readonly string[] => {
  let here: unknown = schema
  for (const part of path) {
    const definition: unknown = unwrap(here)
    const shape = shapeOf(definition)
    if (shape !== null) here = shape[String(part)]
    else if (typeof definition === 'object' && definition !== null && 'valueType' in definition) here = definition.valueType
    else if (typeof definition === 'object' && definition !== null && 'element' in definition) here = definition.element
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

const explain = (issue: z.core.$ZodIssue): { path: PropertyKey[], text: string }[] => {
  if (issue.code === 'unrecognized_keys') {
    const known = knownAt(issue.path)
    return issue.keys.map(key => {
      const near = nearest(key, known)
      return {
        path: [...issue.path, key],
        text: `unknown parameter '${key}'${near === null ? `; known here: ${known.join(', ')}` : `, did you mean '${near}'?`}`,
      }
    })
  }
  const missing = issue.code === 'invalid_type' && issue.input === undefined
  const name = dotted(issue.path)
  if (issue.path.at(-1) === 'search') {
    return [{
      path: issue.path,
      text: `${name}: say how Postfix uses this map: virtual (virtual_alias_maps), canonical (canonical_maps), `
        + 'transport (transport_maps), recipient (relay_recipient_maps, local_recipient_maps, virtual_mailbox_maps), '
        + 'domain (relay_domains), access (check_*_access), or exact (virtual_*_domains, or read through unionmap)',
    }]
  }
  return [{ path: issue.path, text: `${name}: ${missing ? 'is required' : issue.message}` }]
}

/** Reads the text of a configuration file; `fileName` is for the messages. */
export const parseConfig = (text: string, fileName: string): Parsed => {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    return {
      ok: false,
      problems: document.errors.map(error => ({ place: `${fileName}:${lines.linePos(error.pos[0]).line}`, text: `not YAML: ${error.message}` })),
    }
  }
  const placeOf: Places = path => `${fileName}:${lineOf(document, lines, path)}`
  const result = schema.safeParse(document.toJS() ?? {}, { reportInput: true })
  if (result.success) return { ok: true, file: result.data, placeOf }
  return {
    ok: false,
    problems: result.error.issues.flatMap(explain).map(({ path, text: problem }) => ({ place: placeOf(path), text: problem })),
  }
}
