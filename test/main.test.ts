import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { mainFile } from './fixtures/daemon.js'
import { run } from './fixtures/child.js'
import { packageFile } from '../src/runtime/package.js'

t.test('the built file can be run as it is, as npx does', async t => {
  t.match(await run(mainFile, ['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ })
})

t.test('the licenses of the bundled modules ship with them', t => {
  const { dependencies } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { dependencies: Record<string, string> }
  const licenses = readFileSync(join(dirname(mainFile), 'LICENSES'), 'utf8')
  for (const name of Object.keys(dependencies)) t.match(licenses, new RegExp(`^${name} \\d\\S*: \\S+\\n\\n.*[Cc]opyright`, 'ms'), name)
  t.end()
})
