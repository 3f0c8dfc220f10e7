import t from 'tap'
import { fleetOf } from '../../src/fleet/fleet_status.js'
import type { OwnKnowledge, SeenNode } from '../../src/fleet/fleet_status.js'
import { announcement } from './announcement.js'

const node = (name: string, changes: Partial<SeenNode['announced']> = {}, ageMs = 3_000): SeenNode =>
  ({ announced: { ...announcement, name, ...changes }, ageMs })
const now = 1_700_000_000_000
const self = (name: string, knows: Partial<OwnKnowledge> = {}): OwnKnowledge =>
  ({ name, lacks: () => null, roleOf: () => null, named: () => new Map(), ...knows })

t.test('a node is in its state since then, and gone once it has announced nothing for a minute', async t => {
  const { nodes } = fleetOf([
    node('mx2', { state: 'degraded', inStateMs: 60_000 }), node('mx1', {}, 60_001), node('mx3', {}, 60_000),
  ], self('mx2'), now)
  t.match(nodes, [
    { name: 'mx1', state: 'gone', since: now - 60_001 },
    { name: 'mx2', state: 'degraded', since: now - 63_000 },
    { name: 'mx3', state: 'well' },
  ])
})

t.test('a node that the configuration names and that has never been there is unseen', t => {
  const named = () => new Map([['mx9', 'fallback'], ['mx1', 'primary'], ['mx2', 'primary']] as const)
  const { nodes, findings } = fleetOf([node('mx1'), node('mx2', {}, 100_000), node('mx3')], self('mx1', { named }), now)
  t.same(nodes.map(({ name, role, state }) => `${name} ${role} ${state}`), [
    'mx1 primary well', 'mx2 primary gone', 'mx3 primary well', 'mx9 fallback unseen',
  ])
  t.equal(nodes[3]?.since, null)
  t.same(findings, [])
  t.end()
})

t.test('maps whose definitions differ are named, with the nodes; those that are gone don\'t count', async t => {
  const both = { alias: 'a', transport: 't' }
  const { definitions, findings } = fleetOf([
    node('mx1', { definitions: both }), node('mx2', { definitions: { transport: 't', alias: 'a' } }),
    node('mx3', { definitions: { alias: 'other' } }), node('mx4', { definitions: { alias: 'third' } }, 100_000),
  ], self('mx1'), now)
  t.equal(definitions, 2)
  t.same(findings.map(({ text }) => text), [
    'map alias: nodes have different definitions: mx1, mx2 / mx3',
    'map transport: nodes have different definitions: mx1, mx2 / mx3 has none',
  ])
})

t.test('text tables that differ are named, but no lists that each of three nodes has of its own', t => {
  const seen = (...tables: readonly string[]) => tables.map((table, index) =>
    node(`mx${index + 1}`, { definitions: { relay: table, alias: 'a' } }))
  const cases: readonly (readonly [tables: readonly string[], definitions: number, groups: string])[] = [
    [['text 1', 'text 1'], 1, ''],
    [['text 1', 'text 2'], 2, 'mx1 / mx2'],
    [['text 1', 'text 2', 'text 1'], 2, 'mx1, mx3 / mx2'],
    [['text 1', 'text 2', 'text 3'], 1, ''],
    [['text 1', 'text 2', 'abcd'], 3, 'mx1 / mx2 / mx3'],
    [['1', '2', '3'], 3, 'mx1 / mx2 / mx3'],
  ]
  for (const [tables, definitions, groups] of cases) {
    const fleet = fleetOf(seen(...tables), self('mx1'), now)
    t.equal(fleet.definitions, definitions, tables.join())
    const text = `map relay: nodes have different definitions${tables.join().includes('text') ? ' or text tables' : ''}`
    t.same(fleet.findings.map(finding => finding.text), groups === '' ? [] : [`${text}: ${groups}`], tables.join())
  }
  const oneGone = seen('text 1', 'text 2', 'text 3').map((each, index) => index < 2 ? each : { ...each, ageMs: 100_000 })
  t.same(fleetOf(oneGone, self('mx1'), now).findings, [], 'one that goes away makes no difference of own lists')
  t.end()
})

t.test('a node that has another role than the configuration gives it is named; one that is gone is not', t => {
  const roleOf = (name: string) => name === 'mx9' ? 'fallback' : 'primary'
  const seen = [node('mx1', { role: 'fallback' }), node('mx2', { role: 'fallback' }), node('mx9')]
  const { findings } = fleetOf(seen, self('mx1', { roleOf }), now)
  t.match(findings, [
    { kind: 'role', text: /^mx2 runs as fallback, but the `role:` of mx1 makes it the primary/ },
    { kind: 'role', text: /^mx9 runs as primary, but the `role:` of mx1 makes it the fallback/ },
  ])
  t.equal(findings.length, 2, 'this node has the role that it gives itself')
  t.same(fleetOf([node('mx9', {}, 61_000)], self('mx1', { roleOf }), now).findings, [])
  t.same(fleetOf(seen, self('mx1'), now).findings, [], 'a file that says nothing of others')
  t.end()
})

t.test('a node whose keys this one mostly lacks has other data; one that lacks a few has not', async t => {
  const samples = { alias: ['a@x', 'b@x', 'c@x', 'd@x', 'e@x', 'f@x'] }
  for (const [lacking, kinds] of [[0, []], [3, []], [4, ['other-data']], [null, []]] as const) {
    const { findings } = fleetOf([node('mx1'), node('mx2', { samples })], self('mx1', { lacks: () => lacking }), now)
    t.same(findings.map(({ kind }) => kind), kinds, String(lacking))
  }
  const few = node('mx2', { samples: { alias: ['a@x', 'b@x'] } })
  t.same(fleetOf([node('mx1'), few], self('mx1', { lacks: () => 2 }), now).findings, [], 'two keys say little')
  t.same(fleetOf([node('mx1', { samples })], self('mx1', { lacks: () => 6 }), now).findings, [], 'not of itself')
})

t.test('a name that two nodes have is reported', async t => {
  const { findings } = fleetOf([node('mx1', { isNameShared: true }), node('mx2')], self('mx2'), now)
  t.match(findings, [{ kind: 'same-name', text: /two nodes have the name mx1/ }])
})
