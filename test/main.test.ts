import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { mainFile } from './fixtures/daemon.js'
import { run } from './fixtures/child.js'
import { freshFolder } from './fixtures/guard.js'
import { packageFile } from '../src/runtime/package.js'

t.test('the built file can be run as it is, as npx does', async t => {
  t.match(await run(mainFile, ['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+ \(Node\.js \d+\.\d+\.\d+\)\n$/ })
})

t.test('an unknown command gets one line on what to do, and not the help of all commands', async t => {
  const stderr = 'error: unknown command \'bogus\'\n`holdfast --help` lists the commands\n'
  t.strictSame(await run(mainFile, ['bogus']), { code: 1, stdout: '', stderr })
})

t.test('npx runs the built program, and before a build it says how to build it', async t => {
  const { bin } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { bin: { holdfast: string } }
  const start = fileURLToPath(packageFile(bin.holdfast))
  t.match(await run(start, ['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+ \(Node\.js \d+\.\d+\.\d+\)\n$/ })
  const folder = freshFolder()
  mkdirSync(join(folder, 'deploy'))
  cpSync(start, join(folder, 'deploy/start.js'))
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
  t.match(await run(join(folder, 'deploy/start.js'), ['--version']), { code: 69, stdout: '', stderr: /npm run build/ })
})

t.test('the licenses of the bundled modules ship with them', t => {
  const { dependencies } = JSON.parse(readFileSync(
    packageFile('package.json'), 'utf8',
  )) as { dependencies: Record<string, string> }
  const licenses = readFileSync(join(dirname(mainFile), 'LICENSES'), 'utf8')
  for (const name of Object.keys(dependencies)) t.match(
    licenses, new RegExp(`^${name} \\d\\S*: \\S+\\n\\n.*[Cc]opyright`, 'ms'), name,
  )
  t.end()
})
