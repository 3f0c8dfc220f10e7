import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { createMetrics } from '../../src/admin/metrics.js'
import { run } from '../fixtures/child.js'
import { freshFolder } from '../fixtures/guard.js'
import { strangersIn } from '../fixtures/promql.js'
import { findPromtool } from '../fixtures/promtool.js'
import { wellStatus } from '../fixtures/status.js'

type Rule = {
  alert: string, expr: string, labels: { severity: string }, annotations: { summary: string, description: string }
}
type Rules = { groups: { rules: Rule[] }[] }

const file = fileURLToPath(new URL('../../../deploy/alerts/holdfast.yaml', import.meta.url))
const rules = (parse(readFileSync(file, 'utf8')) as Rules).groups.flatMap(group => group.rules)

t.test('each alert asks for metrics that there are, and says what it means and what to do', async t => {
  const page = await createMetrics(() => wellStatus({
    canaries: [{ map: 'alias', missing: false, since: 1 }],
    answers: wellStatus().answers.map(answers => ({ ...answers, unavailable: { overloaded: 1 } })),
  })).render()
  for (const { alert, expr, labels, annotations } of rules) {
    t.same(strangersIn(expr, page), [], alert)
    t.match(labels.severity, /^(page|ticket)$/, alert)
    t.match(annotations.summary, /\.$/, alert)
    t.ok(annotations.description.length > 20, alert)
  }
})

/** What Prometheus has seen, a value each minute, and which alerts there are at that minute. */
const cases = [
  {
    series: 'holdfast_state{instance="mx1",state="deferring"}',
    values: '0 1x5', minute: 3, alerts: ['HoldfastMailDeferred'],
  },
  { series: 'holdfast_map_failing{instance="mx1",map="alias"}', values: '0 1x3', minute: 3, alerts: [] },
  {
    series: 'holdfast_map_failing{instance="mx1",map="alias"}', values: '0 1x9', minute: 8,
    alerts: ['HoldfastMapFailing'],
  },
  { series: 'up{job="holdfast",instance="mx1"}', values: '1 0x5', minute: 4, alerts: ['HoldfastDown'] },
  {
    series: 'holdfast_map_in_doubt{instance="mx1",map="alias"}',
    values: '0 1x5', minute: 1, alerts: ['HoldfastTableDoubted'],
  },
  {
    series: 'holdfast_canary_missing{instance="mx1",map="alias"}',
    values: '0 1x5', minute: 1, alerts: ['HoldfastTableDoubted'],
  },
  {
    series: 'holdfast_breaker_state{instance="mx1",server="db",state="closed"}',
    values: '1 0x5', minute: 2, alerts: [],
  },
  {
    series: 'holdfast_breaker_state{instance="mx1",server="db",state="closed"}',
    values: '1 0x5', minute: 5, alerts: ['HoldfastBreakerOpen'],
  },
  {
    series: 'holdfast_lookups_total{instance="mx1",map="alias",outcome="unavailable",reason="breaker-open"}',
    values: '0+60x20', minute: 12, alerts: ['HoldfastDeferring'],
  },
  // A primary with `unknown: defer` defers on purpose.
  {
    series: 'holdfast_lookups_total{instance="mx1",map="alias",outcome="unavailable",reason="unknown-deferred"}',
    values: '0+60x20', minute: 12, alerts: [],
  },
  { series: 'process_start_time_seconds{job="holdfast",instance="mx1"}', values: '1 1 2 2 2', minute: 4, alerts: [] },
  {
    series: 'process_start_time_seconds{job="holdfast",instance="mx1"}',
    values: '1 2 3 4 4', minute: 4, alerts: ['HoldfastRestarting'],
  },
  {
    series: 'holdfast_redis_state{instance="mx1",state="ready"}',
    values: '1 0x20', minute: 18, alerts: ['HoldfastRedisOut'],
  },
  {
    series: 'holdfast_fleet_nodes{instance="mx1",role="primary",state="gone"}',
    values: '0 3x5', minute: 4, alerts: ['HoldfastNoPrimary'],
  },
  { series: 'holdfast_fleet_nodes{instance="mx1",role="primary",state="degraded"}', values: '1x5', minute: 4, alerts: [] },
  {
    series: 'holdfast_fleet_nodes{instance="mx1",role="fallback",state="gone"}',
    values: '0 1x9', minute: 8, alerts: ['HoldfastFallbackNotWell'],
  },
  { series: 'holdfast_fleet_nodes{instance="mx1",role="fallback",state="well"}', values: '1x9', minute: 8, alerts: [] },
  { series: 'holdfast_fleet_definitions{instance="mx1"}', values: '1 2x80', minute: 50, alerts: [] },
  {
    series: 'holdfast_fleet_definitions{instance="mx1"}', values: '1 2x80', minute: 70,
    alerts: ['HoldfastDefinitionsDiffer'],
  },
  { series: 'holdfast_fleet_findings{instance="mx1",kind="definitions"}', values: '0 1x80', minute: 30, alerts: [] },
  {
    series: 'holdfast_fleet_findings{instance="mx1",kind="role"}', values: '0 1x80', minute: 30,
    alerts: ['HoldfastFleetMismatch'],
  },
  { series: 'holdfast_mx_domains{instance="mx1",state="unknown"}', values: '9x80', minute: 70, alerts: [] },
  {
    series: 'holdfast_mx_domains{instance="mx1",state="no-fallback"}', values: '1x80', minute: 70,
    alerts: ['HoldfastMxWrong'],
  },
  // Loaded when time began.
  {
    series: 'holdfast_warm_last_success_timestamp_seconds{instance="mx1",map="alias"}',
    values: '0x1500', minute: 1_430, alerts: [],
  },
  {
    series: 'holdfast_warm_last_success_timestamp_seconds{instance="mx1",map="alias"}',
    values: '0x1500', minute: 1_460, alerts: ['HoldfastNotWarm'],
  },
  {
    series: 'holdfast_connections_refused_total{instance="mx1",listener="unix:s"}',
    values: '0 0 1x9', minute: 4, alerts: ['HoldfastTurningClientsAway'],
  },
  {
    series: 'holdfast_lookups_total{instance="mx1",map="alias",outcome="unavailable",reason="overloaded"}',
    values: '0 0 1x9', minute: 2, alerts: ['HoldfastOverloaded'],
  },
]

const promtool = await findPromtool()
const skip = 'whyNot' in promtool ? promtool.whyNot : false
t.test('Prometheus takes the rules, and each alert fires when it should', { skip }, async t => {
  if ('whyNot' in promtool) return
  const names = [...new Set(rules.map(({ alert }) => alert))]
  t.same(names.filter(name => !cases.some(({ alerts }) => alerts.includes(name))), [], 'each alert has its case')
  // Only the names of the alerts are compared: promtool would want their labels and texts word by word.
  const tests = join(freshFolder(), 'tests.json')
  writeFileSync(tests, JSON.stringify({
    rule_files: [file], evaluation_interval: '1m',
    tests: cases.map(({ series, values, minute, alerts }) => ({
      interval: '1m', input_series: [{ series, values }],
      promql_expr_test: names.map(name => ({
        expr: `count by (alertname) (ALERTS{alertname="${name}",alertstate="firing"})`, eval_time: `${minute}m`,
        exp_samples: alerts.includes(name) ? [{ labels: `{alertname="${name}"}`, value: 1 }] : [],
      })),
    })),
  }))
  t.match(await run(promtool.path, ['check', 'rules', file]), { code: 0 })
  const { stdout, stderr } = await run(promtool.path, ['test', 'rules', tests])
  t.match(stdout + stderr, /SUCCESS/)
})
