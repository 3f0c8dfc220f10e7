import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createMetrics } from '../../src/admin/metrics.js'
import { run } from '../fixtures/child.js'
import { freshFolder } from '../fixtures/guard.js'
import { strangersIn } from '../fixtures/promql.js'
import { findPromtool } from '../fixtures/promtool.js'
import { wellStatus } from '../fixtures/status.js'

type Panel = {
  id: number, title: string, description: string
  gridPos: { x: number, y: number, w: number, h: number }
  targets: { expr: string, legendFormat: string }[]
}
type Dashboard = {
  __inputs: { name: string }[], panels: Panel[]
  templating: { list: { definition: string }[] }, annotations: { list: { expr: string }[] }
}

const text = readFileSync(new URL('../../../deploy/grafana/holdfast.json', import.meta.url), 'utf8')
const dashboard = JSON.parse(text) as Dashboard

const page = await createMetrics(() => wellStatus({
  canaries: [{ map: 'alias', missing: false, since: 1 }],
})).render()

t.test('each panel asks for metrics and labels that there are, and says what it shows', t => {
  for (const { title, description, targets } of dashboard.panels) {
    t.ok(description.length > 20, title)
    t.ok(targets.length > 0, title)
    for (const { expr, legendFormat } of targets) {
      t.same(strangersIn(expr, page), [], `${title}: ${expr}`)
      // A legend can only name what the query keeps.
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
        t.match(expr, new RegExp(`by \\([^)]*\\b${label ?? ''}\\b`), `${title}: ${legendFormat}`)
      }
    }
  }
  for (const { definition } of dashboard.templating.list) t.same(strangersIn(definition, page), [])
  for (const { expr } of dashboard.annotations.list) t.same(strangersIn(expr, page), [])
  t.end()
})

const promtool = await findPromtool()
t.test('Prometheus can read each query', { skip: 'whyNot' in promtool ? promtool.whyNot : false }, async t => {
  if ('whyNot' in promtool) return
  const file = join(freshFolder(), 'rules.json')
  // Variables that Grafana replaces.
  const asked = (expr: string): string =>
    expr.replace(/\$__(rate_interval|range)/g, '5m').replace(/\$(instance|map|job)/g, '.*')
  writeFileSync(file, JSON.stringify({ groups: [{
    name: 'dashboard',
    rules: dashboard.panels.flatMap(({ id, targets }) =>
      targets.map(({ expr }, index) => ({ record: `panel_${id}_${index}`, expr: asked(expr) }))),
  }] }))
  const { code, stdout, stderr } = await run(promtool.path, ['check', 'rules', file])
  t.equal(code, 0, stdout + stderr)
})

t.test('it can be imported: the data source is asked for, no panel lies on another', t => {
  const sources = new Set([...text.matchAll(/\$\{(DS_\w+)\}/g)].map(([, name]) => name))
  t.same([...sources], dashboard.__inputs.map(({ name }) => name))
  t.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length)
  const taken = new Set<string>()
  for (const { title, gridPos: { x, y, w, h } } of dashboard.panels) {
    for (let row = y; row < y + h; row += 1) {
      for (let column = x; column < x + w; column += 1) {
        if (column >= 24 || taken.has(`${row} ${column}`)) t.fail(`${title} lies on another panel, or beside the page`)
        taken.add(`${row} ${column}`)
      }
    }
  }
  t.end()
})

t.test('a query that names what there is not is found out', t => {
  const query = 'sum by (map, key) (rate(holdfast_lookups_total{outcome="found",instance=~"$instance"}[5m])) '
    + '/ holdfast_nothing'
  t.same(strangersIn(query, page), ['holdfast_lookups_total{outcome="found"}', 'holdfast_nothing', 'key'])
  t.end()
})
