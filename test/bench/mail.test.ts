/** Runs the mail bench with little mail: it must work, whatever its figures are. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { freshFolder } from '../fixtures/guard.js'

t.test('the mail bench delivers through every way to reach the tables', async t => {
  const chart = join(freshFolder(), 'chart.svg')
  const { code, stdout, stderr } = await run(process.execPath, [
    fileURLToPath(new URL('main.js', import.meta.url)), '--smoke', 'mail', '--chart', chart,
  ])
  t.equal(code, 0, stderr)
  for (const way of ['text tables', 'mysql:', 'proxy:mysql:', 'memcache:', 'Holdfast', 'Holdfast, Redis']) {
    t.match(readFileSync(chart, 'utf8'), `>${way}<`)
    t.match(stdout, `known                     0 ms ${way.padEnd(17)}`)
  }
})
