import t from 'tap'
import { createMetrics } from '../../src/admin/metrics.js'
import { run } from '../fixtures/child.js'
import { findPromtool } from '../fixtures/promtool.js'
import { wellStatus } from '../fixtures/status.js'

const pageOf = (changes = {}): Promise<string> => createMetrics(() => wellStatus(changes)).render()

t.test('answers are counted by map, protocol, outcome and reason', async t => {
  const page = await pageOf()
  for (const line of [
    'holdfast_lookups_total{map="alias",protocol="socketmap",outcome="fresh",reason=""} 8',
    'holdfast_lookups_total{map="alias",protocol="socketmap",outcome="unavailable",reason="timeout"} 2',
    'holdfast_saved_total{map="alias"} 1',
    'holdfast_answers_total{map="alias",origin="memory"} 7',
  ]) t.ok(page.includes(`${line}\n`), line)
})

t.test('what memory answers at once counts into the first bucket, what is slower than all into +Inf', async t => {
  const lines = (await pageOf()).split('\n').filter(line => line.startsWith('holdfast_lookup_duration_seconds'))
  t.same(lines, [
    'holdfast_lookup_duration_seconds_bucket{map="alias",le="0.001"} 9',
    'holdfast_lookup_duration_seconds_bucket{map="alias",le="0.01"} 11',
    'holdfast_lookup_duration_seconds_bucket{map="alias",le="+Inf"} 12',
    'holdfast_lookup_duration_seconds_sum{map="alias"} 0.5',
    'holdfast_lookup_duration_seconds_count{map="alias"} 12',
  ])
})

t.test('a map that is loaded ahead of demand says when it last was; one that never was says 0', async t => {
  const page = await pageOf()
  for (const line of [
    'holdfast_warm_last_success_timestamp_seconds{map="alias"} 1000',
    'holdfast_warm_rows_total{map="alias"} 20', 'holdfast_warm_failures_total{map="alias"} 1',
  ]) t.ok(page.includes(`${line}\n`), line)
  const [map] = wellStatus().maps
  t.match(await pageOf({ maps: [{ ...map, warm: { ...map?.warm, loadedAt: null } }] }),
    'holdfast_warm_last_success_timestamp_seconds{map="alias"} 0\n')
  t.notMatch(await pageOf({ maps: [{ ...map, warm: null }] }), 'holdfast_warm_rows_total{')
})

t.test('a breaker has the value 1 in the state that it is in, 0 in the others', async t => {
  const [server] = wellStatus().servers
  const page = await pageOf({ servers: [{ ...server, state: 'open', opened: 3 }] })
  for (const line of [
    'holdfast_breaker_state{server="db:3306",state="open"} 1',
    'holdfast_breaker_state{server="db:3306",state="closed"} 0',
    'holdfast_breaker_opened_total{server="db:3306"} 3',
    'holdfast_degraded_parts 1',
  ]) t.ok(page.includes(`${line}\n`), line)
})

t.test('a scrape shows the figures of its own moment', async t => {
  let connections = 1
  const metrics = createMetrics(() => wellStatus({
    listeners: [{ address: 'inet:127.0.0.1:1', protocol: 'tcp_table', connections, refused: 0, problem: null }],
  }))
  await metrics.render()
  connections = 2
  t.match(await metrics.render(), 'holdfast_connections{listener="inet:127.0.0.1:1",protocol="tcp_table"} 2\n')
})

t.test('without Redis there are no figures of Redis', async t => {
  t.notMatch(await pageOf({ redis: null }), /^holdfast_redis_\w+[{ ]/m)
})

t.test('metrics count nodes by role and state, unless read long ago, and domains by the state of their MX', async t => {
  const { fleet } = wellStatus()
  const page = await pageOf()
  for (const line of [
    'holdfast_fleet_nodes{role="primary",state="well"} 1', 'holdfast_fleet_nodes{role="fallback",state="gone"} 0',
    'holdfast_fleet_definitions 1', 'holdfast_mx_domains{state="right"} 20', 'holdfast_mx_domains{state="no-fallback"} 0',
  ]) t.ok(page.includes(`${line}\n`), line)
  t.notMatch(await pageOf({ fleet: null, mx: null }), /^holdfast_(fleet|mx)_\w+\{/m)
  t.notMatch(await pageOf({ fleet: { ...fleet, readAt: 1_000_000 } }), /^holdfast_fleet_\w+\{/m)
})

t.test('each counter is there from the start, so that Prometheus sees its first increase', async t => {
  const [answers] = wellStatus().answers
  if (answers === undefined) throw new Error('the fixture has no answers')
  const page = await pageOf({ answers: [{ ...answers, unavailable: {} }, { ...answers, map: '', unavailable: {} }] })
  for (const reason of ['timeout', 'source-down', 'breaker-open', 'query-error', 'overloaded', 'distrusted']) {
    const series = `holdfast_lookups_total{map="alias",protocol="socketmap",outcome="unavailable",reason="${reason}"}`
    t.ok(page.includes(`${series} 0\n`), reason)
  }
  t.match(page, 'holdfast_lookups_total{map="",protocol="socketmap",outcome="unavailable",reason="unknown-map"} 0\n')
  t.match(page, /^holdfast_redis_faults_total\{reason="timeout"\} 0$/m)
})

t.test('a doubt has its cause, its server and its start; a table that can\'t be asked is failing', async t => {
  const [map] = wellStatus().maps
  if (map?.cached == null) throw new Error('the fixture has no map')
  const doubts = [{ table: 0, server: 'db#1', cause: 'recreated' as const, since: 1_500_000, known: 9, missing: 7 }]
  const trouble = { reason: 'query-error', detail: 'no such table', since: 1_500_000, lastAt: 1_900_000 } as const
  const page = await pageOf({ maps: [{ ...map, cached: { ...map.cached, doubts, trouble } }] })
  for (const line of [
    'holdfast_doubt_start_timestamp_seconds{map="alias",server="db#1",cause="recreated"} 1500',
    'holdfast_map_in_doubt{map="alias"} 1', 'holdfast_map_missing_keys{map="alias"} 7',
    'holdfast_map_failing{map="alias"} 1', 'holdfast_state{state="degraded"} 1', 'holdfast_state{state="well"} 0',
  ]) t.ok(page.includes(`${line}\n`), line)
  t.notMatch(await pageOf(), /^holdfast_doubt_start/m)
})

const promtool = await findPromtool()
const skip = 'whyNot' in promtool ? promtool.whyNot : false
t.test('promtool has nothing to say about the names', { skip }, async t => {
  if ('whyNot' in promtool) return
  t.match(
    await run(promtool.path, ['check', 'metrics'], { stdin: await pageOf() }), { code: 0, stdout: '', stderr: '' },
  )
})
