import t from 'tap'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import type { Outcome } from '../../src/outcome.js'
import type { Source } from '../../src/tables/source.js'
import { MapTrust } from '../../src/trust/map_trust.js'
import { TableTrust } from '../../src/trust/table_trust.js'
import { fakeClock } from '../fixtures/clock.js'
import type { FakeClock } from '../fixtures/clock.js'

const users = Array.from({ length: 40 }, (_, index) => `user${index}@example.com`)

/** A table on two servers, each with rows of its own; questions go to the first that is not avoided. */
const stage = (
  { known = users, maxShrink = 0.3, siblings = [], clock = fakeClock(), isEvidenceRead = () => true }: {
    known?: readonly string[], maxShrink?: number, siblings?: TableTrust[], clock?: FakeClock,
    isEvidenceRead?: () => boolean,
  } = {},
) => {
  const created = new Map<string, string>()
  const rows = new Map([['one', new Set(users)], ['two', new Set(users)]])
  const order = ['one', 'two']
  const asked: string[] = []
  let fault: Outcome | null = null
  const answer = (server: string, key: string): Outcome => {
    asked.push(`${server} ${key}`)
    return fault ?? (rows.get(server)?.has(key) === true ? found(byteString('box')) : absent)
  }
  const source: Source = {
    ask: async (key, _budgetMs, { avoid, only, onAbsent } = {}) => {
      const server = only ?? order.find(each => avoid?.(each) !== true) ?? order[0] ?? ''
      const outcome = answer(server, key)
      const doubt = outcome.kind !== 'absent' ? null : await onAbsent?.(server, {
        again: async (other, of) => of === undefined || of === source ? answer(server, other)
          : (await of.ask(other, 1_000, { only: server })).outcome,
        createdAt: async () => created.get(server) ?? null,
      }) ?? null
      return { outcome: doubt ?? outcome, server }
    },
  }
  const evidence = new Set(known)
  const drawn: number[] = []
  const changes: string[] = []
  const dropped = { count: 0 }
  const trust = new TableTrust({ maxShrink, evidenceForMs: Infinity }, {
    source, clock,
    sample: count => {
      drawn.push(count)
      return [...evidence].slice(0, count)
    },
    canaries: [], siblings, isEvidenceRead,
    dropAbsences: () => { dropped.count++ },
    onChange: (server, { cause }, isOver) => { changes.push(`${server} ${isOver ? 'believed' : cause}`) },
  })
  siblings.push(trust)
  const ask = async (key: string): Promise<Outcome> => (await trust.ask(key, clock.elapsed() + 2_000)).outcome
  return {
    clock, created, rows, order, asked, drawn, evidence, changes, dropped, trust, ask,
    fail: (outcome: Outcome | null) => { fault = outcome },
  }
}

t.test('a table of which nothing is known is believed', async t => {
  const { ask, asked } = stage({ known: [] })
  t.equal(await ask('nobody@example.com'), absent)
  t.strictSame(asked, ['one nobody@example.com'])
})

t.test('while earlier knowledge can\'t be read, a table is believed only if it has a known key', async t => {
  for (const known of [[], ['user0@example.com']]) {
    let isRead = false
    const { rows, ask } = stage({ known, isEvidenceRead: () => isRead })
    t.match(await ask('new@example.com'), { kind: known.length === 0 ? 'unavailable' : 'absent' })
    for (const table of rows.values()) table.clear()
    t.match(await ask('user9@example.com'), { kind: 'unavailable', reason: 'distrusted' }, `${known.length} known`)
    isRead = true
    t.strictSame(await ask('user9@example.com'), absent)
  }
})

t.test('an absence is believed if a known key is found on the same connection', async t => {
  const { ask, asked, drawn } = stage()
  t.equal(await ask('nobody@example.com'), absent)
  t.strictSame(asked, ['one nobody@example.com', 'one user0@example.com'])
  t.ok(Math.max(...drawn) <= 2, 'no more keys are drawn than are asked for, and one in place of the key itself')
})

t.test('a table with few known keys is judged by one of them that is there', async t => {
  const siblings: TableTrust[] = []
  const aliases = stage({ siblings })
  const { ask, asked } = stage({ known: ['user0@example.com'], siblings })
  t.equal(await ask('nobody@example.com'), absent)
  t.strictSame([asked, aliases.asked], [['one nobody@example.com', 'one user0@example.com'], []])
})

t.test('a server with an empty table is not believed, and the other one answers in its place', async t => {
  const { ask, asked, rows, changes } = stage()
  rows.get('one')?.clear()
  t.equal(await ask('nobody@example.com'), absent, 'also to the question that shows it')
  t.strictSame(changes, ['one shrunk'])
  asked.length = 0
  t.equal(await ask('nobody@example.com'), absent, 'server two says so')
  t.ok(asked.every(each => each.startsWith('two ')))
})

t.test('one deleted key among the known ones is no reason to doubt', async t => {
  const { ask, rows, changes } = stage()
  rows.get('one')?.delete('user0@example.com')
  t.equal(await ask('nobody@example.com'), absent)
  t.strictSame(changes, [])
})

t.test('a key that can\'t be asked makes no absence', async t => {
  const { ask, fail } = stage()
  fail(unavailable('source-down', 'gone'))
  t.match(await ask('nobody@example.com'), { reason: 'source-down' })
})

t.test('in a restore, the doubt goes on until the known keys are back and no more come', async t => {
  const { ask, rows, order, clock, changes } = stage()
  order.pop()
  const table = rows.get('one') ?? new Set()
  table.clear()
  await ask('nobody@example.com')
  for (const user of users.slice(0, 36)) table.add(user)
  await clock.advance(6_000)
  t.match(await ask(users.at(-1) ?? ''), { reason: 'distrusted' }, '90 % are back')
  for (const user of users) table.add(user)
  await clock.advance(6_000)
  t.strictSame(changes, ['one shrunk', 'one believed'])
  t.equal(await ask('nobody@example.com'), absent)
})

t.test('an administrator ends the doubt, and what was found before is no evidence', async t => {
  const { ask, rows, order, trust, changes } = stage({ known: users })
  order.pop()
  rows.get('one')?.clear()
  await ask('nobody@example.com')
  trust.trust()
  t.strictSame(changes, ['one shrunk', 'one believed'])
})

t.test('a doubt goes on in the process that comes after', async t => {
  const { ask, rows, trust } = stage()
  rows.get('one')?.clear()
  await ask('nobody@example.com')
  const next = stage({ known: [] })
  next.order.pop()
  new MapTrust([next.trust]).decode(new MapTrust([trust]).encode())
  t.match(await next.ask('nobody@example.com'), { reason: 'distrusted' })
})

t.test('max_shrink: 100% asks for no known key', async t => {
  const { ask, rows, asked } = stage({ maxShrink: 1 })
  rows.get('one')?.clear()
  t.equal(await ask('nobody@example.com'), absent)
  t.equal(asked.length, 1)
})

t.test('a table that was created anew is not believed until its known keys are back', async t => {
  const { ask, created, rows, order, clock, changes } = stage()
  order.pop()
  created.set('one', 'at first')
  t.equal(await ask('nobody@example.com'), absent)
  created.set('one', 'later')
  for (const user of users.slice(36)) rows.get('one')?.delete(user)
  await clock.advance(30_000)
  t.match(await ask('nobody@example.com'), { reason: 'distrusted' }, '90 % of the rows are there')
  t.strictSame(changes, ['one recreated'])
  rows.set('one', new Set(users))
  await clock.advance(5_000)
  t.equal(await ask('nobody@example.com'), absent)
})

t.test('an ALTER or OPTIMIZE, which leaves the rows, is over at once', async t => {
  const { ask, created, order, clock, changes } = stage()
  order.pop()
  created.set('one', 'at first')
  await ask('nobody@example.com')
  created.set('one', 'later')
  await clock.advance(30_000)
  await ask('nobody@example.com')
  await clock.advance(0)
  t.strictSame(changes, ['one recreated', 'one believed'])
  t.equal(await ask('nobody@example.com'), absent)
})

t.test('the process that comes after sees that a table was created anew meanwhile', async t => {
  const { ask, created, trust } = stage()
  created.set('one', 'at first')
  await ask('nobody@example.com')
  const next = stage()
  next.order.pop()
  next.created.set('one', 'later')
  next.trust.adopt(trust.doubts, trust.trustedAt, trust.created)
  t.match(await next.ask('nobody@example.com'), { reason: 'distrusted' })
})

t.test('a table with fewer than five known keys stands and falls with the others of its database', async t => {
  const clock = fakeClock()
  const siblings: TableTrust[] = []
  const aliases = stage({ siblings, clock })
  const domains = stage({ known: ['example.com'], siblings, clock })
  for (const { order, rows } of [aliases, domains]) {
    order.pop()
    rows.get('one')?.clear()
  }
  t.match(await domains.ask('example.com'),
    { reason: 'distrusted', detail: /^another table of its database/ }, 'asked before anybody asked for an alias')
  t.strictSame(aliases.changes, ['one shrunk'])
  t.match(await domains.ask('example.com'), { reason: 'distrusted', detail: /^another table of its database/ })
  aliases.rows.set('one', new Set(users))
  await clock.advance(5_000)
  t.equal(await domains.ask('example.com'), absent, 'the domain alone is gone: that is a deletion')
})

t.test('a doubt that begins has the absences of all tables of its database asked again', async t => {
  const siblings: TableTrust[] = []
  const clock = fakeClock()
  const aliases = stage({ siblings, clock })
  const domains = stage({ known: ['example.com'], siblings, clock })
  aliases.rows.get('one')?.clear()
  await aliases.ask('nobody@example.com')
  t.strictSame([aliases.dropped.count, domains.dropped.count], [1, 1])
})

t.test('trust from the future counts once, as of now, and switches no guard off', async t => {
  for (const future of [1_800_000_000_000, 9e15, Infinity]) {
    const { trust, clock, rows, ask } = stage()
    const map = new MapTrust([trust])
    const written = future === Infinity ? '1e999' : String(future)
    const text = JSON.stringify({ trustedAt: 0, doubts: [], created: [] }).replace('0', written)
    map.decode(text)
    const at = clock.now()
    t.ok(trust.evidenceSince <= at, 'what is found from now on is evidence')
    await clock.advance(60_000)
    map.decode(text)
    t.equal(trust.evidenceSince, at, 'however often it is read')
    rows.get('one')?.clear()
    rows.get('two')?.clear()
    t.match(await ask('nobody@example.com'), { reason: 'distrusted' })
    map.decode(text)
    t.match(await ask('nobody@example.com'), { reason: 'distrusted' }, 'and ends no later doubt')
    map.trust()
    t.strictSame(map.doubts, [], 'as `holdfast trust` does')
  }
})

t.test('a clock that is set back after `trust` leaves the guard on', async t => {
  const { trust, clock, rows } = stage()
  trust.doubt('one', 'shrunk')
  trust.trust()
  clock.set(clock.now() - 3_600_000)
  t.ok(trust.evidenceSince <= clock.now())
  t.ok(rows.size > 0)
})
