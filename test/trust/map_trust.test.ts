/** What a map with several tables writes of its doubts, and of an administrator's trust in them, and reads again. */
import t from 'tap'
import { absent } from '../../src/outcome.js'
import { MapTrust } from '../../src/trust/map_trust.js'
import { TableTrust } from '../../src/trust/table_trust.js'
import { fakeClock } from '../fixtures/clock.js'

const openMap = (): { readonly map: MapTrust, readonly tables: readonly TableTrust[] } => {
  const tables = [1, 2].map(() => new TableTrust({ maxShrink: 0.3, evidenceForMs: 1_000_000 }, {
    source: { ask: async () => ({ outcome: absent, server: '' }) }, clock: fakeClock(), sample: () => [], canaries: [],
    siblings: [], dropAbsences: () => undefined, onChange: () => undefined,
  }))
  return { map: new MapTrust(tables, ['first', 'second']), tables }
}

t.test('trust in a table that was in doubt voids no evidence of the map\'s other table, whoever reads of it', async t => {
  const { map, tables: [first, second] } = openMap()
  const evidenceSince = second?.evidenceSince
  first?.doubt('one', 'shrunk')
  map.trust()
  const text = map.encode()
  t.ok(map.isIn(text))
  const other = openMap()
  for (const reader of [map, other.map]) reader.decode(text)
  for (const tables of [map.tables, other.tables]) {
    t.match(tables, [{ trustedAt: first?.trustedAt }, { trustedAt: 0, evidenceSince }])
  }
})

t.test('what an earlier version wrote of trust counts for all tables', async t => {
  const { map, tables } = openMap()
  map.decode(JSON.stringify({ trustedAt: 1_000, doubts: [], created: [], ids: ['first', 'second'] }))
  t.match(tables, [{ trustedAt: 1_000 }, { trustedAt: 1_000 }])
})
