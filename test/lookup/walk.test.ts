import t from 'tap'
import { absent } from '../../src/outcome.js'
import { minute, down, fresh, stale, stage } from './stage.js'

t.test('C67 an extension that the key lost goes back into the value, in the sender\'s case', async t => {
  const { ask, lookup } = stage({ 'user@example.com': 'box@example.net' })
  t.strictSame(await ask('User+TaG@example.com'), fresh('box+TaG@example.net'))
  t.strictSame(await ask('user+tag@example.com'), fresh('box+tag@example.net'))
  t.strictSame(lookup.lookup('User+TaG@Example.com'), fresh('box+TaG@example.net'))
})

t.test('an extension keeps its case when only the whole answer is still fresh', async t => {
  const { ask, lookup, clock } = stage({ 'user@example.com': 'box@example.net' })
  await ask('User+TAG@example.com')
  await ask('user+tag@example.com')
  await clock.advance(minute)
  t.strictSame(lookup.lookup('user+tag@example.com'), fresh('box+tag@example.net'))
  t.strictSame(lookup.lookup('USER+TAG@example.com'), fresh('box+TAG@example.net'))
})

t.test('a whole answer bridges an outage in which its steps are no longer known', async t => {
  const { ask, source, clock } = stage({ 'user@example.com': 'box@example.net', '@example.org': 'catch@example.net' })
  await ask('user+tag@example.com')
  await ask('anybody@example.org')
  source.fault = down
  await clock.advance(10 * minute)
  t.strictSame(await ask('user+tag@example.com'), stale('box+tag@example.net'))
  t.strictSame(await ask('User+tag@example.com'), stale('box+tag@example.net'), 'whatever the case of the localpart')
  t.strictSame(await ask('Anybody@Example.ORG'), stale('catch@example.net'))
  t.equal(await ask('somebody@example.org'), down, 'of another user the catch-all says nothing')
})

t.test('an answer put together from fresh steps in memory is known whole as well', async t => {
  const { ask, source, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('user+tag@example.com')
  t.strictSame(await ask('user@example.com'), fresh('catch@example.net'))
  t.equal(source.asked.length, 3)
  source.fault = down
  await clock.advance(10 * minute)
  t.strictSame(await ask('user@example.com'), stale('catch@example.net'))
})

t.test('a whole answer is no fresher than the oldest of its steps', async t => {
  const { ask, source, lookup, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('one@example.com')
  await clock.advance(3 * minute)
  await ask('two@example.com')
  t.equal(source.asked.filter(key => key === '@example.com').length, 1 + 1, 'asked once as a step, and once as a known key that shows that the table is whole')
  source.fault = down
  await clock.advance(2 * minute - 1)
  t.strictSame(lookup.lookup('two@example.com'), fresh('catch@example.net'))
  await clock.advance(1)
  t.strictSame(await ask('two@example.com'), stale('catch@example.net'))
})

t.test('a whole answer is forgotten when all its steps are absent', async t => {
  const { ask, source, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('one@example.com')
  source.rows.clear()
  await clock.advance(5 * minute)
  t.strictSame(await ask('one@example.com'), stale('catch@example.net'))
  await clock.advance(5 * minute)
  t.equal(await ask('one@example.com'), absent)
  source.fault = down
  await clock.advance(30_000)
  t.equal(await ask('one@example.com'), down)
})

t.test('a user\'s own new row wins over the catch-all when the fresh time is over', async t => {
  const { ask, source, clock } = stage({ '@example.com': 'catch@example.net' })
  await ask('one@example.com')
  source.rows.set('one@example.com', 'own@example.net')
  await clock.advance(5 * minute)
  t.strictSame(await ask('one@example.com'), fresh('own@example.net'))
})

t.test('a whole answer is refreshed ahead as well, all its steps anew', async t => {
  const { ask, source, lookup, clock } = stage({ '@example.com': 'old@example.net' })
  await ask('one@example.com')
  await clock.advance(4 * minute)
  source.rows.set('@example.com', 'new@example.net')
  t.strictSame(lookup.lookup('one@example.com'), fresh('old@example.net'))
  await clock.advance(0)
  t.strictSame(lookup.lookup('one@example.com'), fresh('new@example.net'))
  t.strictSame(source.asked.filter((key, index) => index >= 2 && key.startsWith('one')), ['one@example.com'], 'its first step is asked anew, and then the catch-all')
})
