/** What is answered while the table can't be asked, by what an absence in the map does to mail. */
import t from 'tap'
import type { AbsenceEffect } from '../../src/postfix/parameters.js'
import { absent } from '../../src/outcome.js'
import { aDay, copyOf, down, minute, stage, stale } from './stage.js'
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

t.test('what is found is served on in every map', async t => {
  for (const does of ['refuses', 'reroutes', 'passes', 'weakens'] as const) {
    const { ask } = await afterOutage(does)
    t.strictSame(await ask('known@example.com'), stale('box'), does)
  }
})

t.test('where an absence refuses mail, it is never given, unless another map knows the key', async t => {
  const { ask } = await afterOutage('refuses')
  t.equal(await ask('absent@example.com'), down)
  const elsewhere = await afterOutage('refuses', { isKnownElsewhere: () => true })
  t.equal(await elsewhere.ask('absent@example.com'), absent)
  t.equal(await elsewhere.ask('never@example.com'), down, 'that nobody has asked for')
})

t.test('where an absence reroutes mail or lets it pass, the last statement counts, however old', async t => {
  for (const does of ['reroutes', 'passes'] as const) {
    const { ask, clock } = await afterOutage(does)
    t.equal(await ask('absent@example.com'), absent, does)
    t.equal(await ask('never@example.com'), down, does)
    await clock.advance(6 * aDay)
    t.equal(await ask('absent@example.com'), down, `${does}: after stale_for it is no knowledge any more`)
  }
})

t.test('in_outage: pass gives an absence for a key that nobody has asked for', async t => {
  const { ask } = await afterOutage('passes', { absence: { inOutage: 'pass' } })
  t.equal(await ask('never@example.com'), absent)
  t.strictSame(await ask('known@example.com'), stale('box'))
})

t.test('in_outage: pass-strangers does so for domains that are not ours', async t => {
  const { ask } = await afterOutage(
    'passes', { absence: { inOutage: 'pass-strangers' }, isOurs: key => key.endsWith('@example.com') },
  )
  t.equal(await ask('never@elsewhere.example'), absent)
  t.equal(await ask('never@example.com'), down)
})

t.test('where an absence weakens the protection of mail, only a copy may say so', async t => {
  const { ask, copies, clock } = await afterOutage('weakens', { absence: { inOutage: 'defer' } })
  t.equal(await ask('absent@example.com'), down)
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
  t.equal(await ask('never@example.com'), down)
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

t.test('a copy counts after the table has said the same of a key, and no longer where it has said otherwise', async t => {
  const { ask, lookup: { known }, copies, clock } = stage({}, { search: 'exact' })
  const at = clock.now()
  await clock.advance(1_000)
  t.equal(await ask('nobody@example.com'), absent)
  const entry = known.memory.peek('nobody@example.com')
  copies.put(0, copyOf({}, at))
  t.equal(known.copiedSince('nobody@example.com', entry)?.outcome, absent)
  copies.put(0, copyOf({ 'nobody@example.com': 'copied' }, at))
  t.equal(known.copiedSince('nobody@example.com', entry), null)
})

t.test('a copy lets a plus address find its user, and a catch-all take only those who have no row', async t => {
  const { ask, copies, clock, source } = stage({})
  copies.put(0, copyOf({ 'user@example.com': 'own', '@example.com': 'catch' }, clock.now()))
  source.fault = down
  t.strictSame(await ask('user+tag@example.com'), stale('own+tag'))
  t.strictSame(await ask('other@example.com'), stale('catch'))
})
