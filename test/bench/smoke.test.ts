/** The bench's smoke form, for function only: every case runs and answers; no figure is judged. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { freshFolder } from '../fixtures/guard.js'

const bench = (...args: readonly string[]) =>
  run(process.execPath, [fileURLToPath(new URL('main.js', import.meta.url)), '--smoke', ...args])

t.test('each case of the bench runs to its end and is reported', async t => {
  const { code, stdout, stderr } = await bench()
  t.equal(code, 0, stderr)
  for (const name of ['bare Node', 'memory hit', 'absent hit', 'Redis hit', 'MySQL miss', 'stale in an outage']) t.match(stdout, name)
})

t.test('the mail bench delivers through every way to reach the tables', async t => {
  const chart = join(freshFolder(), 'chart.svg')
  const { code, stdout, stderr } = await bench('mail', '--chart', chart)
  t.equal(code, 0, stderr)
  for (const way of ['text tables', 'mysql:', 'proxy:mysql:', 'memcache:', 'Holdfast', 'Holdfast, Redis']) {
    t.match(readFileSync(chart, 'utf8'), `>${way}<`)
    t.match(stdout, `known                     0 ms ${way.padEnd(17)}`)
  }
})
