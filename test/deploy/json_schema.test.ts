import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { parse } from 'yaml'
import type { z } from 'zod'
import { jsonSchema } from '../../deploy/pages/json_schema.js'
import { parseConfig } from '../../src/config/parse.js'
import { packageFile } from '../../src/runtime/package.js'

type Part = z.core.JSONSchema.JSONSchema

/** Every named parameter below `part`, with its path. */
const parametersOf = (part: Part, path: string): { path: string, part: Part }[] => {
  const inside = (inner: Part['items'], at: string): { path: string, part: Part }[] =>
    typeof inner === 'object' && !Array.isArray(inner) ? parametersOf(inner, at) : []
  return [
    ...Object.entries(part.properties ?? {}).flatMap(([name, inner]) => {
      if (typeof inner === 'boolean') return []
      const at = path === '' ? name : `${path}.${name}`
      return [{ path: at, part: inner }, ...parametersOf(inner, at)]
    }),
    ...inside(part.additionalProperties, `${path}.NAME`),
    ...inside(part.items, `${path}[]`),
  ]
}

t.test('every parameter has a description', t => {
  const parameters = parametersOf(jsonSchema(), '')
  t.ok(parameters.some(({ path }) => path === 'maps.NAME.stale_for') && parameters.some(({ path }) => path === 'listen[].socketmap'), 'all levels are seen')
  for (const { path, part } of parameters) t.match(part.description, /\w/, `${path} has no .describe() in src/config/schema.ts`)
  t.end()
})

t.test('a default that README.md or a guide gives in brackets is that of the schema', t => {
  const folder = fileURLToPath(packageFile('deploy/guides'))
  const guides = readdirSync(folder).filter(name => name.endsWith('.md')).map(name => join(folder, name))
  const parameters = parametersOf(jsonSchema(), '')
  const seen = [fileURLToPath(packageFile('README.md')), ...guides].flatMap(page =>
    [...readFileSync(page, 'utf8').replace(/\s+/g, ' ').matchAll(/`([a-z_]+)`:? \((\d[^),;]*)/g)].flatMap(([, name = '', value]) => {
      const defaults = parameters.filter(({ path, part }) => path.endsWith(name) && part.default !== undefined)
      if (defaults.length > 0) t.ok(defaults.some(({ part }) => String(part.default) === value), `${page}: ${name} (${value})`)
      return defaults.length > 0 ? [name] : []
    }))
  t.ok(seen.includes('deadline') && seen.includes('connections'), seen.join(' '))
  t.end()
})

t.test('an editor accepts what Holdfast accepts, and refuses what it refuses', t => {
  const validate = new Ajv2020({ strict: true, strictTypes: false, allErrors: true }).compile(jsonSchema())
  const maps = 'maps:\n  m: {search: exact, text: t, '
  const small = `listen:\n  - socketmap: unix:/run/s\n${maps}`
  const cases = new Map([
    ['the sample', readFileSync(new URL('../../../deploy/holdfast.yaml', import.meta.url), 'utf8')],
    ['the quick start', readFileSync(new URL('../../../deploy/quickstart/holdfast.yaml', import.meta.url), 'utf8')],
    ['durations', `${small} fresh_for: 300ms, stale_for: 1.5 h, absent_for: 30}\n`],
    ['sizes', `${small}}\nmemory: {bytes: 64MiB}\n`],
    ['sizes in bytes', `${small}}\nmemory: {bytes: 1000000}\n`],
    ['shares', `${small} max_shrink: 30%}\nmax_shrink: 0.5\n`],
    ['the roles of all nodes', `${small}}\nrole: {default: primary, mx9.example.com: fallback}\n`],
    ['no role', `${small}}\nrole: {mx9.example.com: last}\n`],
    ['no duration', `${small} fresh_for: soon}\n`],
    ['no size', `${small}}\nmemory: {bytes: 64 MW}\n`],
    ['no share', `${small} max_shrink: half}\n`],
    ['an unknown parameter', `${small} fresh: 5m}\n`],
    ['no listener', `listen: []\n${maps}}\n`],
    ['no search', 'listen:\n  - socketmap: unix:/run/s\nmaps:\n  m: {text: t}\n'],
    ['a name with a colon', 'listen:\n  - socketmap: unix:/run/s\nmaps:\n  "a:b": {search: exact, text: t}\n'],
    ['too many connections', `${small}}\nconnections: 5000\n`],
  ])
  for (const [name, text] of cases) {
    const parsed = parseConfig(text, 'c')
    // A fault of one map alone stops no start, but it is a fault.
    const accepted = parsed.ok && parsed.faults.size === 0
    t.equal(validate(parse(text)), accepted, `${name}: ${JSON.stringify(validate.errors)}`)
    t.equal(accepted, !/^(no|an|a|too) /.test(name), name)
  }
  t.end()
})

t.test('defaults are in the form in which users write them', t => {
  const { properties } = jsonSchema()
  t.match(properties, { deadline: { default: '2s' }, max_shrink: { default: '30%' }, memory: { properties: { bytes: { default: '64M' } } } })
  t.end()
})
