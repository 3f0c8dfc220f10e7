import t from 'tap'
import { Memory } from '../../src/caches/memory.js'
import type { MapLookup } from '../../src/lookup/lookup.js'
import { absent, unavailable } from '../../src/outcome.js'
import { recall, recordsOf } from '../../src/upkeep/snapshots.js'
import { anHour, minute, down, stage } from '../lookup/stage.js'

t.test('a snapshot holds the absences that are vouched for', async t => {
  const { ask, clock, lookup, open, source } = stage({}, { isKnownElsewhere: () => true })
  await ask('user@example.com')
  const restarted = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  for (const known of recordsOf(lookup.known, clock.now())) t.ok(recall(restarted.known, ...known))
  source.fault = down
  t.equal(await ask('user@example.com', restarted), absent)
})

t.test('what a snapshot held bridges an outage after a restart, but is not fresh by it', async t => {
  const { ask, clock, lookup, open, source } = stage({ 'info@example.com': 'a@b' })
  await ask('info@example.com')
  await ask('info+x@example.com')
  const records = [...recordsOf(lookup.known, clock.now())]
  await clock.advance(6 * minute)
  source.fault = unavailable('source-down', 'gone')
  const restarted = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.ok(records.every(record => recall(restarted.known, ...record)))
  t.match(await ask('info@example.com', restarted), { kind: 'found', value: 'a@b', age: 'stale' })
  t.match(await ask('info+x@example.com', restarted), { kind: 'found', value: 'a+x@b', age: 'stale' })
})

t.test('a snapshot of another definition, or from too long ago, is of no use', async t => {
  const { ask, clock, lookup, open } = stage({ 'info@example.com': 'a@b' }, { lifetimes: anHour })
  await ask('info@example.com')
  const [record] = [...recordsOf(lookup.known, clock.now())]
  const recalled = ({ known }: MapLookup): boolean => record !== undefined && recall(known, ...record)
  t.notOk(recalled(open({ definition: 'fedcba9876543210' }, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))))
  await clock.advance(61 * minute)
  t.notOk(recalled(open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))))
})

t.test('found answers are told to whoever asks for that, from the table and from a snapshot', async t => {
  const heard: string[] = []
  const { ask, clock, lookup, open } = stage({ 'info@example.com': 'a@b' }, { onFound: value => { heard.push(value) } })
  await ask('info@example.com')
  t.strictSame(heard, ['a@b'])
  const [record] = [...recordsOf(lookup.known, clock.now())]
  const restarted = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  if (record !== undefined) recall(restarted.known, ...record)
  t.strictSame(heard, ['a@b', 'a@b'])
})
