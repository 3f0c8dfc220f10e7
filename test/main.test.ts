import t from 'tap'
import { mainFile } from './fixtures/daemon.js'
import { run } from './fixtures/child.js'

t.test('what was built may be run as it is: npx does', async t => {
  t.match(await run(mainFile, ['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ })
})
