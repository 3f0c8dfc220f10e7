// Type-aware lint, plus the direction of imports: proto knows nothing; src goes
// main -> server -> lookup -> caches and sources, and never back.
import tseslint from 'typescript-eslint'

const forbid = (...folders) => ['error', {
  patterns: folders.map(folder => ({
    regex: `/${folder}/`,
    message: 'imports go main -> server -> lookup -> caches and sources; proto imports nothing',
  })),
}]

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
  {
    files: ['src/**'], ignores: ['src/caches/ioredis.ts', 'src/mysql/driver.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': ['error', {
        paths: ['ioredis', 'mysql2'].map(name => ({ name, allowTypeImports: true, message: 'import() it where it is used: a node without it must not wait for it at its start' })),
      }],
    },
  },
  { files: ['proto/**'], rules: { 'no-restricted-imports': ['error', { patterns: [{ regex: '^(?!\\./)' }] }] } },
  { files: ['src/lookup/**'], rules: { 'no-restricted-imports': forbid('server', 'health', 'proto') } },
  { files: ['src/mysql/**', 'src/tables/**', 'src/caches/**'], rules: { 'no-restricted-imports': forbid('server', 'lookup', 'health', 'proto') } },
  {
    files: ['test/**'],
    rules: { '@typescript-eslint/no-floating-promises': 'off', '@typescript-eslint/require-await': 'off' },
  },
)
