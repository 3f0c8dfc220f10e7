// Type-aware lint, and the layout of the house: each folder of src imports only from those after it, types too,
// and no import leads back to where it came from.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import tseslint from 'typescript-eslint'

/** From the commands down to what knows nothing of mail. */
const layers = [
  'cli', 'check', 'adopt', 'daemon', 'admin', 'server', 'mx', 'fleet', 'upkeep', 'lookup', 'trust', 'caches', 'tables', 'mysql', 'config', 'postfix',
  'runtime',
]

const layerRules = layers.map((layer, index) => ({
  files: [`src/${layer}/**`],
  rules: {
    'no-restricted-imports': ['error', {
      patterns: [
        { regex: `^\\.\\./(?:${['main', ...layers.slice(0, index)].join('|')})(?:/|\\.js)`, message: `imports go down: ${layers.join(' -> ')}` },
        ...['server', 'cli'].includes(layer) ? [] : [{ regex: '/proto/', message: 'only what speaks to clients knows the wire' }],
      ],
    }],
  },
}))

/** The files that `file` imports. */
const importsOf = file => [...readFileSync(file, 'utf8').matchAll(/(?:from |import\()'(\.[^']+)\.js'/g)]
  .map(([, path]) => resolve(dirname(file), `${path}.ts`)).filter(existsSync)

/** Whether imports lead from `from` to `to`. */
const leadsTo = (from, to, seen = new Set()) => importsOf(from).some(next => {
  if (next === to) return true
  if (seen.has(next)) return false
  seen.add(next)
  return leadsTo(next, to, seen)
})

const noCycles = {
  create: context => ({
    Program: node => {
      if (leadsTo(context.filename, context.filename)) context.report({ node, message: 'the imports of this file lead back to it' })
    },
  }),
}

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.tap/', '**/*.js'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
    },
  },
  { files: ['src/**', 'proto/**', 'deploy/**'], rules: { 'max-len': ['error', { code: 120 }] } },
  {
    files: ['src/**', 'proto/**'],
    plugins: { house: { rules: { 'no-cycles': noCycles } } },
    rules: { 'house/no-cycles': 'error' },
  },
  {
    files: ['src/**'], ignores: ['src/caches/ioredis.ts'],
    rules: {
      'no-restricted-properties': ['error', ...['any', 'timeout'].map(property =>
        ({ object: 'AbortSignal', property, message: 'Node\'s garbage collection may take such a time-out away: use setTimeout' }))],
      '@typescript-eslint/no-restricted-imports': ['error', {
        paths: ['ioredis', 'mysql2'].map(name => ({ name, allowTypeImports: true, message: 'import() it where it is used: a node without it must not wait for it at its start' })),
      }],
    },
  },
  { files: ['proto/**'], rules: { 'no-restricted-imports': ['error', { patterns: [{ regex: '^(?!\\./)' }] }] } },
  ...layerRules,
  {
    files: ['test/**'],
    rules: { '@typescript-eslint/no-floating-promises': 'off', '@typescript-eslint/require-await': 'off' },
  },
)
