import t from 'tap'
import { absent, byteString, found, unavailable } from '../../src/outcome.js'
import { statement } from '../../src/caches/entry.js'
import type { Outcome } from '../../src/outcome.js'
import { Memory } from '../../src/caches/memory.js'
import { aDay, copyOf, down, fresh, minute, stage, stale } from './stage.js'
import type { Changes } from './stage.js'

t.test('what the table says is what is answered, found and absent', async t => {
  const { ask } = stage({ 'info@example.com': 'box@example.net' })
  t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
  t.equal(await ask('nobody@example.com'), absent)
})

t.test('a fresh answer comes from memory, at once and without a promise', async t => {
  const { ask, lookup, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute - 1)
  source.fault = down
  t.strictSame(lookup.lookup('info@example.com'), fresh('box@example.net'))
})

t.test('C55 spellings of different case are one key', async t => {
  const { ask, source, lookup } = stage({ 'info@example.com': 'box@example.net' })
  t.strictSame(await ask('INFO@Example.COM'), fresh('box@example.net'))
  t.strictSame(lookup.lookup('info@example.com'), fresh('box@example.net'))
  t.strictSame(source.asked, ['info@example.com'])
})

t.test('C58 an empty key and a key with NUL are absent without a query', t => {
  const { lookup, source } = stage({})
  for (const key of ['', '\0', 'info@example.com\0', '\0info@example.com']) t.equal(lookup.lookup(key), absent)
  t.equal(source.asked.length, 0)
  t.end()
})

t.test('C115 an absence is believed for absent_for and not a moment longer', async t => {
  const { ask, lookup, source, clock } = stage({}, { search: 'exact' })
  t.equal(await ask('new@example.com'), absent)
  source.rows.set('new@example.com', 'box@example.net')
  await clock.advance(29_999)
  t.equal(lookup.lookup('new@example.com'), absent)
  await clock.advance(1)
  t.strictSame(await ask('new@example.com'), fresh('box@example.net'))
})

t.test('an absence is never used after its time, also when the table can\'t be asked', async t => {
  const { ask, source, clock } = stage({}, { search: 'exact' })
  t.equal(await ask('new@example.com'), absent)
  source.fault = down
  await clock.advance(30_000)
  t.match(await ask('new@example.com'), down)
})

t.test('C116 a deleted row is absent once the table has said so twice, confirm_for apart', async t => {
  const { ask, lookup, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  source.rows.clear()
  await clock.advance(5 * minute)
  t.strictSame(await ask('info@example.com'), stale('box@example.net'), 'one answer denies nobody')
  source.asked.length = 0
  await clock.advance(5 * minute - 1)
  t.strictSame(lookup.lookup('info@example.com'), stale('box@example.net'))
  t.strictSame(source.asked, [], 'it is not asked again before')
  await clock.advance(1)
  t.equal(await ask('info@example.com'), absent)
  source.fault = down
  await clock.advance(30_000)
  t.match(await ask('info@example.com'), down, 'and what it was before is forgotten')
})

t.test('a row that is gone for a moment twice is never absent: it is asked for in between', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  for (let gap = 0; gap < 4; gap++) {
    source.rows.clear()
    t.match(await ask('info@example.com'), { kind: 'found' }, `gap ${gap}`)
    await clock.advance(4_000)
    source.rows.set('info@example.com', 'box@example.net')
    // Nobody asks for it until the next gap.
    await clock.advance(10 * minute - 4_000)
  }
})

t.test('the second statement has seconds, not until the deadline of another clock', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  // Where nobody sets the clock, elapsed time and the time of day are decades apart.
  clock.set(clock.now() + 365 * aDay)
  await ask('info@example.com')
  source.rows.clear()
  await clock.advance(5 * minute)
  await ask('info@example.com')
  const budgets: number[] = []
  const { outcomeOf } = source
  source.outcomeOf = (key, budgetMs) => {
    budgets.push(budgetMs)
    return outcomeOf(key, budgetMs)
  }
  await clock.advance(10 * minute)
  t.ok(budgets.length > 0, 'it was asked for by itself')
  t.ok(budgets.every(budgetMs => budgetMs <= 5_000), budgets.join(', '))
})

t.test('an absence before an outage or a doubt, and one after it, do not confirm each other', async t => {
  for (const between of ['an outage', 'a doubt'] as const) {
    const { ask, source, clock, trust } = stage({ 'info@example.com': 'box@example.net' })
    await ask('info@example.com')
    source.rows.clear()
    await clock.advance(5 * minute)
    t.strictSame(await ask('info@example.com'), stale('box@example.net'))
    await clock.advance(minute)
    if (between === 'an outage') {
      source.fault = down
      await clock.advance(10 * minute)
      source.fault = null
    } else {
      for (const table of trust.tables) table.doubt('server', 'recreated')
      source.rows.set('info@example.com', 'box@example.net')
      await clock.advance(30_000)
      t.equal(trust.doubts.length, 0, 'it is over')
      source.rows.clear()
      await clock.advance(4 * minute - 25_000)
    }
    t.strictSame(await ask('info@example.com'), stale('box@example.net'), `after ${between}`)
    await clock.advance(5 * minute + 2_000)
    t.equal(await ask('info@example.com'), absent, 'it said so twice in a row')
  }
})

t.test('an absence that another node noted counts from when this node reads it, whatever its clock says', async t => {
  const { ask, open, source, clock } = stage({ 'info@example.com': 'box@example.net' }, { withRedis: true })
  await ask('info@example.com')
  source.rows.clear()
  await clock.advance(5 * minute)
  await ask('info@example.com')
  clock.set(clock.now() + 6 * minute)
  const other = open({}, new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 }))
  t.strictSame(await ask('info@example.com', other), stale('box@example.net'))
})

t.test('a stale answer bridges an outage from the first failed query on, until it expires', async t => {
  const { ask, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  source.fault = down
  await clock.advance(5 * minute)
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
  await clock.advance(7 * aDay - 5 * minute - 1)
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
  await clock.advance(1)
  t.match(await ask('info@example.com'), down)
})

t.test('after a failure a stale answer comes at once, and the table is asked again after five seconds', async t => {
  const { ask, lookup, source, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  source.fault = down
  await ask('info@example.com')
  const asked = source.asked.length
  await clock.advance(4_999)
  t.strictSame(lookup.lookup('info@example.com'), stale('box@example.net'))
  t.equal(source.asked.length, asked)
  source.fault = null
  await clock.advance(1)
  t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
})

t.test('C118 a failure is never remembered: once mended, the same lookup works at once', async t => {
  const { ask, source } = stage({ 'info@example.com': 'box@example.net' })
  source.fault = unavailable('query-error', 'no such table')
  t.match(await ask('info@example.com'), { kind: 'unavailable', reason: 'query-error' })
  source.fault = null
  t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
})

t.test('C70 a step in doubt ends the walk: a catch-all does not take the mail', async t => {
  const { ask, source } = stage({ 'user@example.com': 'box@example.net', '@example.com': 'catch@example.net' })
  t.strictSame(await ask('other@example.com'), fresh('catch@example.net'), 'the catch-all is known and fresh')
  source.fault = key => key === 'user@example.com' ? down : undefined
  t.match(await ask('user@example.com'), down)
  t.match(await ask('user+tag@example.com'), down)
})

t.test('an answer that is asked for late in its fresh time is refreshed behind the reply', async t => {
  const { ask, source, lookup, clock } = stage({ 'info@example.com': 'old@example.net' })
  await ask('info@example.com')
  await clock.advance(4 * minute - 1)
  source.rows.set('info@example.com', 'new@example.net')
  await ask('info@example.com')
  t.equal(source.asked.length, 1, 'not before the last fifth')
  await clock.advance(1)
  t.strictSame(lookup.lookup('info@example.com'), fresh('old@example.net'))
  await clock.advance(0)
  t.strictSame(lookup.lookup('info@example.com'), fresh('new@example.net'))
  t.equal(source.asked.length, 2)
})

t.test('a refresh that fails leaves the fresh answer fresh, and is not tried with each lookup', async t => {
  const { ask, source, lookup, clock } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(4 * minute)
  source.fault = down
  for (let times = 0; times < 20; times++) t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
  t.equal(source.asked.length, 2)
  t.equal(lookup.flights, 0)
})

t.test('an absent answer replaces the found one, and the reverse', async t => {
  const { ask, source, memory, clock } = stage({ 'info@example.com': 'box@example.net' }, { search: 'exact' })
  await ask('info@example.com')
  t.match(memory.size(), { found: 1, absent: 0 })
  source.rows.clear()
  await clock.advance(5 * minute)
  await ask('info@example.com')
  await clock.advance(5 * minute)
  await ask('info@example.com')
  t.match(memory.size(), { found: 0, absent: 1 })
  source.rows.set('info@example.com', 'box@example.net')
  await clock.advance(30_000)
  await ask('info@example.com')
  t.match(memory.size(), { found: 1, absent: 0 })
})

t.test('a table has lost its rows: known keys are served stale, others are deferred', async t => {
  const rows =
    Object.fromEntries(Array.from({ length: 10 }, (_, user) => [`user${user}@example.com`, `box${user}@example.net`]))
  const { ask, source, clock, trust } = stage(rows, { search: 'exact' })
  for (const key of Object.keys(rows)) await ask(key)
  source.rows.clear()
  await clock.advance(5 * minute)
  t.strictSame(await ask('user1@example.com'), stale('box1@example.net'))
  t.match(await ask('user77@example.com'), { kind: 'unavailable', reason: 'distrusted' })
  trust.trust()
  await clock.advance(5_000)
  t.equal(await ask('user2@example.com'), absent, 'an administrator says that it is so')
})

t.test('fallback with outage: reject rejects what is not known, and only what could not be asked', async t => {
  const { ask, source, clock } = stage(
    { 'info@example.com': 'box@example.net' }, { policy: { unknown: 'reject', outage: 'reject', outageAfterMs: minute } },
  )
  await ask('info@example.com')
  source.fault = down
  await clock.advance(5 * minute)
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
  for (let second = 0; second < 60; second += 10) {
    t.match(await ask('nobody@example.com'), down, `after ${second} s`)
    await clock.advance(10_000)
  }
  t.equal(await ask('nobody@example.com'), absent, 'the server has been out for outage_after')
  source.fault = unavailable('query-error', 'no such table')
  t.match(await ask('nobody@example.com'), { reason: 'query-error' })
  source.fault = down
  t.match(await ask('nobody@example.com'), down, 'it answered meanwhile')
})

t.test('outage: reject: this node\'s own trouble is no outage', async t => {
  const longOutage = async (fault: Outcome & { kind: 'unavailable' }, changes: Changes = {}) => {
    const staged = stage({}, { policy: { unknown: 'reject', outage: 'reject', outageAfterMs: minute }, ...changes })
    await staged.ask('somebody@example.com')
    staged.source.fault = fault
    for (let second = 0; second <= 120; second += 10) {
      await staged.ask('nobody@example.com')
      await staged.clock.advance(10_000)
    }
    return staged
  }
  t.test('a server that answers with a refusal is not out', async t => {
    const refused = unavailable('source-refused', 'error 1226')
    const { ask, source } = await longOutage(refused)
    t.match(await ask('nobody@example.com'), refused)
    source.fault = unavailable('breaker-open', 'not asked after failures')
    t.match(await ask('nobody@example.com'), { reason: 'breaker-open' })
  })
  t.test('a Redis that can\'t be read may know the recipient', async t => {
    const { ask, redis } = await longOutage(down, { withRedis: true })
    t.equal(await ask('nobody@example.com'), absent)
    redis.state.usable = false
    t.match(await ask('nobody@example.com'), down)
  })
  t.test('a process that began in the outage, and knows nothing or not all that was known before', async t => {
    const started = async (prepare: (staged: ReturnType<typeof stage>) => void): Promise<Outcome> => {
      const staged = stage({}, { policy: { unknown: 'reject', outage: 'reject', outageAfterMs: minute } })
      staged.source.fault = down
      prepare(staged)
      for (let second = 0; second <= 120; second += 10) {
        await staged.ask('nobody@example.com')
        await staged.clock.advance(10_000)
      }
      return staged.ask('nobody@example.com')
    }
    const recall = ({ lookup: { known }, clock }: ReturnType<typeof stage>, more = {}): unknown =>
      known.recall('info@example.com', { ...statement(found(byteString('box')), clock.now(), 0), ...more }, clock.now(), true)
    t.match(await started(() => undefined), down, 'nothing is known')
    t.equal(await started(staged => recall(staged)), absent, 'all is')
    t.match(await started(staged => {
      recall(staged)
      staged.lookup.known.isWhole = false
    }), down, 'a file was damaged')
    t.match(await started(staged => recall(staged, { isForeign: true })), down, 'another definition knew it')
  })
  t.test('what was found before, however long ago, or by another definition', async t => {
    const { ask, clock, lookup: { known } } = await longOutage(down)
    const row = statement(found(byteString('box')), clock.now() - 8 * aDay, 0)
    known.recall('old@example.com', row, clock.now(), true)
    known.recall('other@example.com', { ...row, isForeign: true }, clock.now(), true)
    for (const key of ['old@example.com', 'other@example.com']) t.match(await ask(key), down, key)
    t.equal(await ask('nobody@example.com'), absent)
  })
  t.test('a reply that comes late, since this process was held up', async t => {
    const { clock, lookup } = await longOutage(down)
    const reply = Promise.resolve(lookup.lookup('nobody@example.com'))
    clock.holdUp(10_000)
    t.match(await reply, down)
  })
  t.test('a clock that is set forward makes no outage longer', async t => {
    const { ask, clock, source } = stage({}, { policy: { unknown: 'reject', outage: 'reject', outageAfterMs: minute } })
    source.fault = down
    await ask('nobody@example.com')
    clock.set(clock.now() + 10 * minute)
    t.match(await ask('nobody@example.com'), down)
  })
})

for (const hours of [-1, 1]) {
  t.test(`a clock set by ${hours} h during a lookup changes nothing about the time that each step has`, async t => {
    const { lookup, clock, source } = stage({ '@example.com': 'all@example.net' })
    const budgets: number[] = []
    const { outcomeOf } = source
    source.outcomeOf = (key, budgetMs) => {
      budgets.push(budgetMs)
      clock.set(clock.now() + hours * 60 * minute)
      return outcomeOf(key, budgetMs)
    }
    source.latencyMs = 100
    const outcome = lookup.lookup('info+tag@example.com')
    await clock.advance(1_000)
    t.match(await outcome, { kind: 'found' })
    t.strictSame(budgets, [2_000, 1_900, 1_800])
  })
}

t.test('unknown: defer defers what the table says is absent', async t => {
  const { ask, lookup } = stage({}, { policy: { unknown: 'defer', outage: 'defer', outageAfterMs: minute } })
  t.match(await ask('nobody@example.com'), { kind: 'unavailable', reason: 'unknown-deferred' })
  t.match(lookup.lookup('nobody@example.com'), { kind: 'unavailable', reason: 'unknown-deferred' }, 'from memory, too')
  t.match(lookup.lookup(''), { kind: 'unavailable', reason: 'unknown-deferred' })
})

t.test('a bug in a source is a temporary error, or the known answer, and is logged', async t => {
  const { ask, source, clock, bugs } = stage({ 'info@example.com': 'box@example.net' })
  await ask('info@example.com')
  await clock.advance(5 * minute)
  const bug = new Error('of info@example.com')
  source.fault = () => { throw bug }
  t.strictSame(await ask('info@example.com'), stale('box@example.net'))
  const said = await ask('nobody@example.com')
  t.match(said, { kind: 'unavailable', reason: 'internal-error' })
  t.notMatch(JSON.stringify(said), /info@/, 'its words could hold a key, which is not for the mail log')
  t.strictSame(bugs, [bug, bug])
})

t.test('a bug in the steps of a key is a temporary error for that key, and the end of nothing', async t => {
  const { open, ask, bugs } = stage({ 'info@example.com': 'box@example.net' })
  const bug = new Error('bug')
  const broken = open({ plan: { steps: () => { throw bug } } })
  t.match(await ask('other@example.com', broken), { kind: 'unavailable', reason: 'internal-error' })
  t.strictSame(bugs, [bug])
  t.strictSame(await ask('info@example.com'), fresh('box@example.net'))
  t.strictSame(await ask('info@example.com', broken), fresh('box@example.net'), 'what memory has needs no steps')
})

t.test('an absence that stands in for the table is counted as saved, and not as the table\'s', async t => {
  const { ask, lookup, source, clock } = stage({}, { search: 'exact', absence: { does: 'passes' } })
  t.equal(await ask('stranger@example.org'), absent)
  t.match(lookup.origins, { table: 1, savedAbsences: 0 })
  source.fault = down
  await clock.advance(minute)
  t.equal(await ask('stranger@example.org'), absent)
  t.match(lookup.origins, { table: 1, savedAbsences: 1 })
  t.equal(await ask('stranger@example.org'), absent, 'until it is asked again')
  t.match(lookup.origins, { table: 1, savedAbsences: 2 })
})

t.test('while a table is in doubt on another server, a second absence of a known key does not count', async t => {
  const users = Array.from({ length: 20 }, (_, index) => `user${index}@example.com`)
  const { ask, source, clock, trust } = stage(Object.fromEntries(users.map(user => [user, 'box'])), { search: 'exact' })
  for (const user of users) await ask(user)
  source.rows.delete('user7@example.com')
  trust.tables[0]?.doubt('another server', 'shrunk')
  for (let minutes = 0; minutes < 20; minutes += 5) {
    await clock.advance(5 * minute)
    t.strictSame(await ask('user7@example.com'), stale('box'), `after ${minutes + 5} minutes`)
  }
  trust.trust()
  await clock.advance(5 * minute)
  t.equal(await ask('user7@example.com'), absent)
})

t.test('a copy is a witness: a table that lacks its keys is not believed before anybody has asked for one', async t => {
  const rows = Object.fromEntries(Array.from({ length: 40 }, (_, user) => [`user${user}@example.com`, `box${user}`]))
  const { ask, source, copies, clock } = stage(rows, { search: 'exact' })
  copies.put(0, copyOf(rows, clock.now()))
  await clock.advance(minute)
  t.test('emptied', async t => {
    source.rows.clear()
    t.match(await ask('new@example.com'), { kind: 'unavailable', reason: 'distrusted' })
    t.strictSame(await ask('user1@example.com'), stale('box1'))
  })
  t.test('restored in key order: it is in doubt until the whole copy is back', async t => {
    for (const [key, value] of Object.entries(rows).slice(0, 20)) source.rows.set(key, value)
    await clock.advance(minute)
    t.match(await ask('new@example.com'), { kind: 'unavailable', reason: 'distrusted' })
    for (const [key, value] of Object.entries(rows)) source.rows.set(key, value)
    await clock.advance(minute)
    t.equal(await ask('new@example.com'), absent)
  })
})
