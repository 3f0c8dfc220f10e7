/** holdfast.yaml(5), from the JSON Schema: each parameter's form, description and default. */
import type * as z from 'zod'
import { example, list, page, prose, section, word } from './mdoc.js'

type Schema = z.core.JSONSchema.JSONSchema
type Part = Schema['items']

const isSchema = (part: Part): part is Schema => typeof part === 'object' && !Array.isArray(part)

/** What a value looks like, in a few words. */
const formOf = (part: Schema): string => {
  if (part.$ref !== undefined) return part.$ref.replace('#/$defs/', '')
  if (part.enum !== undefined) return part.enum.map(String).join(' | ')
  if (part.anyOf?.some(each => isSchema(each) && each.type === 'array') === true) return 'text, or a list of texts'
  const words = part.anyOf?.find(each => each.enum !== undefined)
  if (words !== undefined) return `${formOf(words)}, or a section of names`
  const types: readonly unknown[] = [part.type].flat()
  if (part.type === 'array') return 'list of texts'
  if (part.type === 'boolean') return 'true | false'
  if (part.type === 'integer') {
    const { minimum, maximum } = part
    if (minimum === undefined) return 'whole number'
    return maximum === undefined ? `whole number, at least ${minimum}` : `whole number, ${minimum} to ${maximum}`
  }
  return part.type === undefined || types.includes('string') ? 'text' : types.join(' or ')
}

/** The parameters in a value: its own, those of each item, or those of each entry that the user names. */
const heldBy = (part: Schema): { readonly how: string, readonly parameters: Schema } | null => {
  if (part.properties !== undefined) return { how: 'a section', parameters: part }
  const { items, additionalProperties: named } = part
  if (isSchema(items) && items.properties !== undefined) return { how: 'a list; each item has', parameters: items }
  return isSchema(named) ? { how: 'a section of names; each has', parameters: named } : null
}

const describe = (part: Schema, isRequired: boolean): string => {
  const text = `${part.description ?? ''}.`
  if (isRequired) return prose(`${text} Required.`)
  if (part.default === undefined || heldBy(part) !== null) return prose(text)
  const given = part.default
  const shown = Array.isArray(given) ? given.join(', ') : typeof given === 'string' ? given : JSON.stringify(given)
  return prose(`${text} Default: ${shown === '' ? 'empty' : `\`${shown}\``}.`)
}

/** The parameters of `part` but for those that have parameters of their own. */
const parametersOf = (part: Schema): string => list(Object.entries(part.properties ?? {}).flatMap(([name, inner]) => {
  if (!isSchema(inner) || heldBy(inner) !== null) return []
  const isRequired = part.required?.includes(name) === true
  return [[`Cm ${word(name)} : Ar ${word(formOf(inner))}`, describe(inner, isRequired)] as const]
}))

/** A section for each parameter that has parameters of its own. */
const sectionsOf = ({ properties = {}, required = [] }: Schema): readonly string[] =>
  Object.entries(properties).flatMap(([name, inner]) => {
    const held = isSchema(inner) ? heldBy(inner) : null
    if (!isSchema(inner) || held === null) return []
    return [
      `.Ss ${word(name)}`, describe(inner, required.includes(name)),
      prose(`It is ${held.how}:`), parametersOf(held.parameters),
    ]
  })

const description = prose(`
reads one YAML file, /etc/holdfast/holdfast.yaml unless its command line names another.
Relative paths are resolved against the file's directory.
\`holdfast check\` lists all that is wrong with it, with line numbers;
\`systemctl reload holdfast\` has the daemon read it again, and a file with faults changes nothing.
\`holdfast schema\` prints the JSON Schema of the file, for editors.
Names that Postfix has too mean what they mean in`)

const formsOf = (schema: Schema): string => list(Object.entries(schema.$defs ?? {}).flatMap(([name, inner]) =>
  isSchema(inner) ? [[`Ar ${word(name)}`, prose(inner.description ?? '')] as const] : []))

/** The manual page in mdoc(7). `sample` is a whole configuration file. */
export const configPage = (schema: Schema, sample: string, version: string, date: Date): string => page({
  name: 'holdfast.yaml', number: 5, brief: 'configuration of the table lookup server for Postfix',
  sections: [
    section('DESCRIPTION', '.Xr holdfast 8', description, '.Xr postconf 5', 'and', '.Xr mysql_table 5 .',
      '.Pp', prose('Values are written as'), formsOf(schema)),
    section('PARAMETERS', parametersOf(schema)),
    ...sectionsOf(schema),
    section('FILES', list([['Pa /etc/holdfast/holdfast.yaml', prose('The configuration.')]])),
    section('EXAMPLES', example(sample)),
    section('SEE ALSO',
      '.Xr mysql_table 5 ,', '.Xr postconf 5 ,', '.Xr socketmap_table 5 ,', '.Xr tcp_table 5 ,', '.Xr holdfast 8'),
  ],
}, version, date)
