/** holdfast.yaml(5): each parameter's form, description and default from the JSON Schema, its example from a file. */
import { stringify } from 'yaml'
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

const isSection = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The sections in the examples that stand for one of the schema: itself, each item of a list, each named entry. */
const alike = (examples: unknown, { how }: { readonly how: string }): readonly unknown[] =>
  Array.isArray(examples) ? examples
    : isSection(examples) && how.includes('names') ? Object.values(examples) : [examples]

/** `NAME: VALUE` as an example of a parameter, from the first of the sections that has it. */
export const exampleOf = (name: string, sections: readonly unknown[]): string => {
  const section = sections.find(each => isSection(each) && name in each)
  if (!isSection(section)) throw new Error(`deploy/pages/examples.yaml has no ${name}`)
  return `${name}: ${stringify(section[name], { collectionStyle: 'flow', lineWidth: 0 }).trim()}`
}

/** The parameters of `part` but for those that have parameters of their own. */
const parametersOf = ({ properties = {}, required = [] }: Schema, examples: readonly unknown[]): string =>
  list(Object.entries(properties).flatMap(([name, inner]) => {
    if (!isSchema(inner) || heldBy(inner) !== null) return []
    const text = `${describe(inner, required.includes(name))}\n.Pp\nExample:\n.Dl ${word(exampleOf(name, examples))}`
    return [[`Cm ${word(name)} : Ar ${word(formOf(inner))}`, text] as const]
  }))

/** A section for each parameter that has parameters of its own. */
const sectionsOf = ({ properties = {}, required = [] }: Schema, examples: unknown): readonly string[] =>
  Object.entries(properties).flatMap(([name, inner]) => {
    const held = isSchema(inner) ? heldBy(inner) : null
    if (!isSchema(inner) || held === null) return []
    return [
      `.Ss ${word(name)}`, describe(inner, required.includes(name)),
      prose(`It is ${held.how}:`),
      parametersOf(held.parameters, alike(isSection(examples) ? examples[name] : undefined, held)),
    ]
  })

const description = prose(`
reads one YAML file, /etc/holdfast/holdfast.yaml unless its command line names another.
Relative paths are resolved against the file's directory.
\`holdfast check\` lists all that is wrong with it, with line numbers;
\`systemctl reload holdfast\` has the daemon read it again.
A map with faults keeps its last good definition; faults outside the maps change nothing.
\`holdfast schema\` prints the JSON Schema of the file, for editors.
Parameters are there since version 0.1.0 unless their text says otherwise.
Names that Postfix has too mean what they mean in`)

const formsOf = (schema: Schema): string => list(Object.entries(schema.$defs ?? {}).flatMap(([name, inner]) =>
  isSchema(inner) ? [[`Ar ${word(name)}`, prose(inner.description ?? '')] as const] : []))

/** For four mail exchangers: each takes its role by its host's name. */
export const smallExample = `# The same file on mx1 to mx3, which are primaries, and on mx9, the last MX.
role: {default: primary, mx9.example.com: fallback}
recipient_delimiter: +
listen:
  - socketmap: unix:/var/spool/postfix/holdfast/holdfast.sock
    group: postfix
admin: unix:/run/holdfast/admin.sock
maps:
  virtual_alias:
    search: virtual
    cf: /etc/postfix/mysql-virtual-alias.cf
  relay_recipients:
    search: recipient
    database: mail
    query: SELECT 'ok' FROM recipients WHERE address='%s' AND active=1
  relay_domains:
    search: domain
    database: mail
    query: SELECT 'ok' FROM domains WHERE name='%s'
databases:
  mail:
    hosts: [db1.example.com, db2.example.com]
    user: holdfast
    password_file: /etc/holdfast/mysql.password
    dbname: mail
`

const examples = section('EXAMPLES',
  prose('A primary and a fallback, complete:'), example(smallExample),
  '.Pp', prose('In main.cf:'), example([
    'virtual_alias_maps = socketmap:unix:holdfast/holdfast.sock:virtual_alias',
    'relay_recipient_maps = socketmap:unix:holdfast/holdfast.sock:relay_recipients',
    'relay_domains = socketmap:unix:holdfast/holdfast.sock:relay_domains',
  ].join('\n')),
  '.Pp', prose('A sample with prose for each group of parameters is deploy/holdfast.yaml in the source.'))

const diagnostics = section('DIAGNOSTICS', prose(`
\`holdfast check\`, the log at start and \`systemctl reload holdfast\` name each fault in one line:
the file and its line, the parameter, what stands there, what may stand there, and what to do.
Start and check report all faults at once.
A fault in one map does not stop the others: lookups in that map get a temporary error.
A fault outside the maps ends the start with status 78.`))

const bugs = section('BUGS', prose(`
A deleted row is in no \`changes\` query: its answer ends after \`fresh_for\` and \`confirm_for\`, or with a flush.
\`warm\` loads only the first table of a map with several.
The limits of the program are in`), '.Xr holdfast 8 .')

/** The manual page in mdoc(7). `shown` has an example of each parameter, in the schema's shape. */
export const configPage = (schema: Schema, shown: unknown, version: string, date: Date): string => page({
  name: 'holdfast.yaml', number: 5, brief: 'configuration of the table lookup server for Postfix',
  sections: [
    section('DESCRIPTION', '.Xr holdfast 8', description, '.Xr postconf 5', 'and', '.Xr mysql_table 5 .',
      '.Pp', prose('Values are written as'), formsOf(schema)),
    section('PARAMETERS', parametersOf(schema, [shown])),
    ...sectionsOf(schema, shown),
    section('FILES', list([['Pa /etc/holdfast/holdfast.yaml', prose('The configuration.')]])),
    examples, diagnostics,
    section('SEE ALSO',
      '.Xr mysql_table 5 ,', '.Xr postconf 5 ,', '.Xr socketmap_table 5 ,', '.Xr tcp_table 5 ,', '.Xr holdfast 8'),
    bugs,
  ],
}, version, date)
