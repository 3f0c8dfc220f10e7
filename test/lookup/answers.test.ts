/** What is answered while the table can't be asked, by what an absence in the map does to mail. */
import t from 'tap'
import type { AbsenceEffect } from '../../src/postfix/parameters.js'
import { absent, unavailable } from '../../src/outcome.js'
import { aDay, copyOf, down, fresh, minute, stage, stale } from './stage.js'
import type { Changes } from './stage.js'

/** The known, the absent that was asked for a day ago, and one that nobody has asked for, in an outage. */
const afterOutage = async (does: AbsenceEffect, changes: Changes = {}) => {
  const { ask, clock, source, copies } = stage(
    { 'known@example.com': 'box' }, { search: 'exact', ...changes, absence: { does, ...changes.absence } },
  )
  await ask('known@example.com')
  await ask('absent@example.com')
  await clock.advance(aDay)
  source.fault = down
  return { ask, clock, copies, source }
}

t.test('in an outage every map answers what was found before', async t => {
  for (const does of ['refuses', 'reroutes', 'passes', 'weakens'] as const) {
    const { ask } = await afterOutage(does)
    t.strictSame(await ask('known@example.com'), stale('box'), does)
  }
})

t.test('where an absence refuses mail, it is never given, unless another map knows the key', async t => {
  const { ask } = await afterOutage('refuses')
  t.match(await ask('absent@example.com'), down)
  const elsewhere = await afterOutage('refuses', { isKnownElsewhere: () => true })
  t.equal(await elsewhere.ask('absent@example.com'), absent)
  t.match(await elsewhere.ask('never@example.com'), down, 'that nobody has asked for')
})

t.test('where an absence reroutes mail or lets it pass, the last statement counts, however old', async t => {
  for (const does of ['reroutes', 'passes'] as const) {
    const { ask, clock } = await afterOutage(does)
    t.equal(await ask('absent@example.com'), absent, does)
    t.match(await ask('never@example.com'), down, does)
    await clock.advance(6 * aDay)
    t.match(await ask('absent@example.com'), down, `${does}: after stale_for it is no knowledge any more`)
  }
})

/** What each kind of map may say absent by: what MySQL last said, in_outage: pass, and a copy. */
const absences = [
  { does: 'refuses', isKnownElsewhere: () => true },
  { does: 'reroutes' }, { does: 'passes' }, { does: 'passes', absence: { inOutage: 'pass' } },
  { does: 'weakens', isCopied: true },
] as const

for (const { does, ...changes } of absences) {
  const title = `${does}${'absence' in changes ? ', in_outage: pass' : ''}`
  const absentThen = async () => {
    const staged = stage({}, { ...changes, absence: { does, ...'absence' in changes ? changes.absence : {} } })
    const { ask, clock, copies, source } = staged
    if ('isCopied' in changes) copies.put(0, copyOf({}, clock.now()))
    await ask('key@example.com')
    await clock.advance(minute)
    source.rows.set('key@example.com', 'row')
    return staged
  }

  t.test(`${title}: a server that is slow is waited for, since the row may be there by now`, async t => {
    const { askTimed, source } = await absentThen()
    source.latencyMs = 1_900
    t.match(await askTimed('key@example.com'), { outcome: fresh('row'), ms: 1_900 })
  })

  t.test(`${title}: once the server is out, absent comes at the soft deadline`, async t => {
    const { ask, askTimed, source } = await absentThen()
    source.fault = down
    await ask('other@example.com')
    source.fault = null
    source.latencyMs = 60_000
    t.match(await askTimed('key@example.com'), { outcome: absent, ms: 300 })
  })

  t.test(`${title}: a row that can't be sent is no absence`, async t => {
    const { ask, source } = await absentThen()
    source.fault = unavailable('bad-value', 'more values than expansion_limit')
    t.match(await ask('key@example.com'), { reason: 'bad-value' })
    t.match(await ask('key@example.com'), { reason: 'bad-value' })
  })
}

t.test('a query that is wrong opens no access list', async t => {
  const { ask, source } = stage({}, { absence: { does: 'passes', inOutage: 'pass' } })
  source.fault = unavailable('query-error', 'error 1054: Unknown column')
  t.match(await ask('spam@example.org'), { reason: 'query-error' })
})

t.test('in_outage: pass gives an absence for a key that nobody has asked for', async t => {
  const { ask } = await afterOutage('passes', { absence: { inOutage: 'pass' } })
  t.equal(await ask('never@example.com'), absent)
  t.strictSame(await ask('known@example.com'), stale('box'))
})

t.test('in_outage: pass-strangers does so for domains that are not ours', async t => {
  const { ask } = await afterOutage(
    'passes', { absence: { inOutage: 'pass-strangers' }, isKnownAsOurs: key => key.endsWith('@example.com') },
  )
  t.equal(await ask('never@elsewhere.example'), absent)
  t.match(await ask('never@example.com'), down)
})

t.test('where an absence weakens the protection of mail, only a copy may say so', async t => {
  const { ask, copies, clock } = await afterOutage('weakens', { absence: { inOutage: 'defer' } })
  t.match(await ask('absent@example.com'), down)
  copies.put(0, copyOf({}, clock.now()))
  await clock.advance(5_000)
  t.equal(await ask('absent@example.com'), absent)
})

t.test('a copy answers for keys that nobody has asked for, found and absent', async t => {
  const { ask, copies, clock } = await afterOutage('passes')
  copies.put(0, copyOf({ 'new@example.com': 'copied' }, clock.now()))
  t.strictSame(await ask('new@example.com'), stale('copied'))
  t.equal(await ask('never@example.com'), absent)
  t.strictSame(await ask('known@example.com'), stale('box'), 'what the table itself said to a lookup comes first')
})

t.test('a copy\'s absence refuses nobody by itself', async t => {
  const { ask, copies, clock } = await afterOutage('refuses')
  copies.put(0, copyOf({}, clock.now()))
  t.match(await ask('never@example.com'), down)
})

t.test('in good times the table is asked, whatever the copy says', async t => {
  const { ask, copies, clock, source } = stage({ 'a@example.com': 'table' }, { search: 'exact' })
  copies.put(0, copyOf({ 'a@example.com': 'copied' }, clock.now()))
  t.match(await ask('a@example.com'), { value: 'table', age: 'fresh' })
  t.strictSame(source.asked, ['a@example.com'])
})

t.test('a row that only the copy knows is absent once the table has said so twice', async t => {
  const { ask, copies, clock } = stage({}, { search: 'exact' })
  copies.put(0, copyOf({ 'gone@example.com': 'copied' }, clock.now()))
  t.strictSame(await ask('gone@example.com'), stale('copied'))
  await clock.advance(5 * minute)
  t.equal(await ask('gone@example.com'), absent)
  t.equal(await ask('gone@example.com'), absent, 'the copy is older than that')
})

t.test('a copy is used for a key of which the table later said the same, and not if it said otherwise', async t => {
  const { ask, lookup: { known }, copies, clock } = stage({}, { search: 'exact' })
  const at = clock.now()
  await clock.advance(1_000)
  t.equal(await ask('nobody@example.com'), absent)
  const entry = known.memory.peek('nobody@example.com')
  copies.put(0, copyOf({}, at))
  t.equal(known.copiedUnlessGone('nobody@example.com', entry)?.outcome, absent)
  copies.put(0, copyOf({ 'nobody@example.com': 'copied' }, at))
  t.equal(known.copiedUnlessGone('nobody@example.com', entry), null)
})

t.test('an absence from when the clock was ahead does not outweigh the copy that was taken since', async t => {
  const { ask, copies, clock, source } = stage({}, { search: 'exact' })
  t.equal(await ask('new@example.com'), absent)
  clock.set(clock.now() - 60 * minute)
  copies.put(0, copyOf({ 'new@example.com': 'copied' }, clock.now()))
  source.fault = down
  t.strictSame(await ask('new@example.com'), stale('copied'))
})

t.test('a copy lets a plus address find its user, and a catch-all take only those who have no row', async t => {
  const { ask, copies, clock, source } = stage({})
  copies.put(0, copyOf({ 'user@example.com': 'own', '@example.com': 'catch' }, clock.now()))
  source.fault = down
  t.strictSame(await ask('user+tag@example.com'), stale('own+tag'))
  t.strictSame(await ask('other@example.com'), stale('catch'))
})
