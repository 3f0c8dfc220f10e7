import t from 'tap'
import { fleetOf } from '../../src/fleet/fleet_status.js'
import type { SeenNode } from '../../src/fleet/fleet_status.js'
import { announcement } from './announcement.js'

const node = (name: string, changes: Partial<SeenNode['announced']> = {}, ageMs = 3_000): SeenNode =>
  ({ announced: { ...announcement, name, ...changes }, ageMs })
const now = 1_700_000_000_000
const known = (): null => null

t.test('a node is in its state since then, and gone once it has announced nothing for a minute', async t => {
  const { nodes } = fleetOf([
    node('mx2', { state: 'degraded', inStateMs: 60_000 }), node('mx1', {}, 60_001), node('mx3', {}, 60_000),
  ], 'mx2', known, now)
  t.match(nodes, [
    { name: 'mx1', state: 'gone', since: now - 60_001 },
    { name: 'mx2', state: 'degraded', since: now - 63_000 },
    { name: 'mx3', state: 'well' },
  ])
})

t.test('maps whose definitions differ are named, with the nodes; those that are gone don\'t count', async t => {
  const both = { alias: 'a', transport: 't' }
  const { definitions, findings } = fleetOf([
    node('mx1', { definitions: both }), node('mx2', { definitions: { transport: 't', alias: 'a' } }),
    node('mx3', { definitions: { alias: 'other' } }), node('mx4', { definitions: { alias: 'third' } }, 100_000),
  ], 'mx1', known, now)
  t.equal(definitions, 2)
  t.same(findings.map(({ text }) => text), [
    'map alias: nodes have different definitions: mx1, mx2 / mx3',
    'map transport: nodes have different definitions: mx1, mx2 / mx3 has none',
  ])
})

t.test('a node whose keys this one mostly lacks has other data; one that lacks a few has not', async t => {
  const samples = { alias: ['a@x', 'b@x', 'c@x', 'd@x', 'e@x', 'f@x'] }
  for (const [lacking, kinds] of [[0, []], [3, []], [4, ['other-data']], [null, []]] as const) {
    const { findings } = fleetOf([node('mx1'), node('mx2', { samples })], 'mx1', () => lacking, now)
    t.same(findings.map(({ kind }) => kind), kinds, String(lacking))
  }
  const few = node('mx2', { samples: { alias: ['a@x', 'b@x'] } })
  t.same(fleetOf([node('mx1'), few], 'mx1', () => 2, now).findings, [], 'two keys say little')
  t.same(fleetOf([node('mx1', { samples })], 'mx1', () => 6, now).findings, [], 'not of itself')
})

t.test('a name that two nodes have is told', async t => {
  const { findings } = fleetOf([node('mx1', { isNameShared: true }), node('mx2')], 'mx2', known, now)
  t.match(findings, [{ kind: 'same-name', text: /two nodes have the name mx1/ }])
})
