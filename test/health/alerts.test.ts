import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { createMetrics } from '../../src/health/metrics.js'
import { wellStatus } from '../fixtures/status.js'

type Rules = { groups: { rules: { alert: string, expr: string, labels: { severity: string }, annotations: { summary: string, description: string } }[] }[] }

const rules = (parse(readFileSync(new URL('../../../deploy/alerts/holdfast.yaml', import.meta.url), 'utf8')) as Rules).groups.flatMap(group => group.rules)

t.test('each alert asks for metrics that there are, and says what it means and what to do', async t => {
  const page = await createMetrics(() => Promise.resolve(wellStatus())).render()
  for (const { alert, expr, labels, annotations } of rules) {
    for (const [name] of expr.matchAll(/\bholdfast_\w+/g)) t.match(page, `# TYPE ${name} `, `${alert}: ${name}`)
    t.match(labels.severity, /^(page|ticket)$/, alert)
    t.match(annotations.summary, /\.$/, alert)
    t.ok(annotations.description.length > 20, alert)
  }
})
