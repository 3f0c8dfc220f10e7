import t from 'tap'
import { Guard } from '../../src/trust/guard.js'
import type { GuardSettings, GuardState } from '../../src/trust/guard.js'
import { absent, unavailable } from '../../src/outcome.js'
import { fakeClock } from '../fixtures/clock.js'
import { scriptedSource } from '../fixtures/scripted.js'

const day = 86_400_000

/** Numbers in [0, 1), the same in every run. */
const steadyRandom = () => {
  let state = 1
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

/** A guard over a table of `size` keys, k0 and up, all of them found lately. */
const guarded = ({ size = 40, random = steadyRandom(), ...settings }: Partial<GuardSettings> & { size?: number, random?: () => number } = {}) => {
  const clock = fakeClock()
  const keys = Array.from({ length: size }, (_, index) => `k${index}`)
  const source = scriptedSource(clock, Object.fromEntries(keys.map(key => [key, `${key}@box.example`])))
  const changes: GuardState[] = []
  const guard = new Guard(source, { maxShrink: 0.3, windowMs: day, canaries: [], ...settings }, clock, random, state => changes.push(state))
  for (const key of keys) guard.noteFound(key)
  const judge = async (key: string, foundAt: number | null = null) => {
    const judged = guard.judgeAbsent(key, foundAt, 2_000)
    await clock.advance(0)
    return judged
  }
  return { clock, source, guard, changes, keys, judge }
}

t.test('an absence in a table that has its known keys is believed', async t => {
  const { judge, guard } = guarded()
  t.equal(await judge('stranger'), absent)
  t.equal(guard.state.trusted, true)
})

t.test('the witnesses are asked after the absence was heard', async t => {
  const { judge, source } = guarded()
  t.equal(source.asked.length, 0)
  await judge('stranger')
  t.equal(source.asked.length, 5)
  await judge('another')
  t.equal(source.asked.length, 6, 'one is enough when five were asked within the second')
})

t.test('a truncated table is not believed from the first absence on', async t => {
  const { judge, source, guard, changes } = guarded()
  t.equal(await judge('stranger'), absent)
  source.rows.clear()
  t.match(await judge('k3'), { kind: 'unavailable', reason: 'distrusted' })
  t.match(await judge('stranger2'), { kind: 'unavailable', reason: 'distrusted' })
  t.equal(guard.state.trusted, false)
  t.equal(changes.length, 1, 'and that is told once')
  t.match(changes[0], { trusted: false, gone: 40 })
})

t.test('a half-restored table does not get a known key believed absent', async t => {
  for (let round = 0; round < 50; round++) {
    const random = steadyRandom()
    for (let skip = 0; skip < round; skip++) random()
    const { judge, source, clock, keys } = guarded({ random })
    await judge('stranger')
    for (const [index, key] of keys.entries()) if (index % 2 === 0) source.rows.delete(key)
    t.match(await judge(`k${round % 20 * 2}`, clock.now() - 60_000), { reason: 'distrusted' })
  }
})

t.test('a half-restored table stays distrusted however often it is asked, and whatever is found in it', async t => {
  const { judge, source, guard, clock, keys } = guarded({ size: 64 })
  for (const [index, key] of keys.entries()) if (index % 2 === 0) source.rows.delete(key)
  await judge('k0', clock.now())
  for (let round = 0; round < 200; round++) {
    for (let key = 0; key < 50; key++) guard.noteFound(`new${round}-${key}`)
    if ((await judge(`stranger${round}`)).kind === 'absent') t.fail(`believed in round ${round}`)
    await clock.advance(5_000)
  }
  t.equal(guard.state.trusted, false)
})

t.test('one deleted key is a deletion', async t => {
  const { judge, source, guard, clock } = guarded({ size: 3 })
  source.rows.delete('k1')
  t.equal(await judge('k1', clock.now()), absent)
  t.equal(guard.state.trusted, true)
  t.equal(guard.state.witnesses, 2, 'it is no witness any more')
})

t.test('deletions one by one never add up to distrust', async t => {
  const { judge, source, clock, keys } = guarded()
  for (const key of keys) {
    source.rows.delete(key)
    t.equal(await judge(key, clock.now()), absent)
    await clock.advance(60_000)
  }
})

t.test('a tenth of the known keys gone at once is a deletion', async t => {
  const { judge, source, guard, clock } = guarded({ size: 60 })
  for (const key of ['k0', 'k10', 'k20', 'k30', 'k40', 'k50']) source.rows.delete(key)
  for (const key of ['k0', 'k10', 'k20', 'k30', 'k40', 'k50']) t.equal(await judge(key, clock.now()), absent)
  t.equal(guard.state.trusted, true)
})

t.test('when the keys are back, absences are believed again within the recheck time', async t => {
  const { judge, source, clock, changes, keys } = guarded()
  source.rows.clear()
  await judge('k1', clock.now())
  for (const key of keys) source.rows.set(key, 'restored')
  t.match(await judge('stranger'), { reason: 'distrusted' }, 'not before it has been looked at')
  await clock.advance(5_000)
  t.equal(await judge('stranger'), absent)
  t.strictSame(changes.map(({ trusted }) => trusted), [false, true])
})

t.test('a table that can\'t be asked for its known keys stays distrusted until it can', async t => {
  const { judge, source, clock, keys } = guarded()
  source.rows.clear()
  await judge('k1', clock.now())
  source.fault = unavailable('source-down', 'down')
  await clock.advance(60_000)
  source.fault = null
  t.match(await judge('stranger'), { reason: 'distrusted' })
  for (const key of keys) source.rows.set(key, 'restored')
  await clock.advance(5_000)
  t.equal(await judge('stranger'), absent)
})

t.test('a table that stays empty for longer than the window is not believed for that', async t => {
  const { judge, source, clock } = guarded({ windowMs: 60_000 })
  source.rows.clear()
  await judge('k1', clock.now())
  await clock.advance(180_000)
  t.match(await judge('stranger'), { reason: 'distrusted' })
})

t.test('a key last found before the window is no witness', async t => {
  const { judge, source, clock } = guarded()
  await clock.advance(day + 1)
  source.rows.clear()
  t.equal(await judge('stranger'), absent)
})

t.test('an operator who vouches for the table is believed, also about what was known before', async t => {
  const { judge, source, guard, clock, keys } = guarded()
  const foundAt = clock.now()
  source.rows.clear()
  await judge('k1', foundAt)
  guard.trust()
  t.equal(guard.state.trusted, true)
  const judged = await Promise.all(keys.map(key => guard.judgeAbsent(key, foundAt, 2_000)))
  t.ok(judged.every(outcome => outcome === absent), 'forty known keys at once')
  t.equal(guard.state.trusted, true)
  t.equal(clock.timers(), 0, 'no recheck is left over')
})

t.test('an operator who vouches during a check is not overruled by it', async t => {
  const { source, guard, clock } = guarded()
  source.rows.clear()
  source.latencyMs = 10
  const judged = guard.judgeAbsent('k1', clock.now(), 2_000)
  await clock.advance(5)
  guard.trust()
  await clock.advance(100)
  t.equal(await judged, absent)
  t.equal(guard.state.trusted, true)
})

t.test('absences that wait at the same time share one check', async t => {
  const { source, guard, clock } = guarded()
  source.latencyMs = 10
  const judged = Promise.all(Array.from({ length: 100 }, (_, index) => guard.judgeAbsent(`stranger${index}`, null, 2_000)))
  await clock.advance(10)
  t.ok((await judged).every(outcome => outcome === absent))
  t.equal(source.asked.length, 5)
})

t.test('an absence heard while a check is under way waits for one of its own', async t => {
  const { source, guard, clock } = guarded()
  source.latencyMs = 10
  const first = guard.judgeAbsent('one', null, 2_000)
  await clock.advance(5)
  source.rows.clear()
  const second = guard.judgeAbsent('two', null, 2_000)
  await clock.advance(100)
  t.match(await second, { reason: 'distrusted' })
  t.match(await first, { reason: 'distrusted' }, 'the answers came after the loss')
})

t.test('a known key that was gone for a moment is found again, not absent', async t => {
  const { source, judge, clock } = guarded()
  // The absence was heard in a table that was just being filled anew; when the guard looks, it is whole.
  t.match(await judge('k3', clock.now()), { kind: 'found' })
  source.fault = key => key === 'k3' ? absent : undefined
  t.equal(await judge('k3', clock.now()), absent)
})

t.test('witnesses that can\'t be asked leave the absence in doubt, for that reason', async t => {
  const { source, judge, guard } = guarded()
  source.fault = unavailable('breaker-open', 'open')
  t.match(await judge('stranger'), { kind: 'unavailable', reason: 'breaker-open' })
  t.equal(guard.state.trusted, true)
})

t.test('a source that breaks its promise does not spoil later checks', async t => {
  const { source, judge, guard } = guarded()
  source.fault = () => { throw new Error('bug') }
  await t.rejects(guard.judgeAbsent('stranger', null, 2_000), { message: 'bug' })
  source.fault = null
  t.equal(await judge('stranger'), absent)
})

t.test('a share of 1 switches the guard off', async t => {
  const { judge, source } = guarded({ maxShrink: 1 })
  source.rows.clear()
  t.equal(await judge('k1'), absent)
  t.equal(source.asked.length, 0)
})

t.test('no more than 64 witnesses are kept, whatever is found or gone', async t => {
  const { judge, source, guard, clock } = guarded({ size: 500 })
  t.equal(guard.state.witnesses, 64)
  source.rows.clear()
  await Promise.all(Array.from({ length: 200 }, (_, index) => guard.judgeAbsent(`k${index}`, clock.now(), 2_000)))
  await judge('k1', clock.now())
  t.equal(guard.state.witnesses, 64)
})

t.test('closed, it leaves no timer', async t => {
  const { judge, source, guard, clock } = guarded()
  source.rows.clear()
  await judge('k1', clock.now())
  t.equal(clock.timers(), 1)
  guard.close()
  t.equal(clock.timers(), 0)
})

t.test('a guard that is closed in doubt asks nothing more, though its recheck was under way', async t => {
  const { judge, source, guard, clock } = guarded()
  source.rows.clear()
  await judge('k3', 0)
  t.equal(guard.state.trusted, false)
  source.latencyMs = 100
  await clock.advance(5_000)
  guard.close()
  await clock.advance(1_000)
  const asked = source.asked.length
  await clock.advance(60_000)
  t.equal(source.asked.length, asked)
})

t.test('a guard goes on with the doubt and the witnesses of an earlier one for the same table', async t => {
  const earlier = guarded()
  earlier.source.rows.clear()
  await earlier.judge('k3', 0)
  const later = guarded({ size: 0 })
  later.guard.inherit(earlier.guard)
  t.match(later.guard.state, { trusted: false, witnesses: 40 })
  t.match(await later.judge('stranger'), { kind: 'unavailable', reason: 'distrusted' })
})
