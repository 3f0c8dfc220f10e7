import t from 'tap'
import { Memory } from '../../src/caches/memory.js'
import { offerRow, rowKeys } from '../../src/lookup/known_rows.js'
import { absent, byteString } from '../../src/outcome.js'
import { minute, down, fresh, stale, stage } from './stage.js'

t.test('an offered row bridges an outage, is verified first, and replaces nothing that is known', async t => {
  const { clock, lookup, source, ask } = stage({ 'a@example.com': 'table', 'b@example.com': 'table' })
  await ask('a@example.com')
  await ask('gone@example.com')
  await clock.advance(10 * minute)
  await ask('absent@example.com')
  const offer = (key: string) => offerRow(
    lookup.known, key, byteString('file'), clock.now() - 30 * minute, () => clock.now(),
  )
  t.strictSame(await Promise.all([
    'a@example.com', 'b@example.com', 'gone@example.com', 'absent@example.com',
  ].map(offer)), ['known', 'kept', 'kept', 'known'],
    'an absence counts while it is fresh')
  source.fault = down
  t.strictSame(await ask('a@example.com'), stale('table'))
  t.strictSame(await ask('b@example.com'), stale('file'))
  await clock.advance(10_000)
  source.fault = null
  t.strictSame(await ask('b@example.com'), fresh('table'))
  t.equal(await ask('gone@example.com'), absent, 'the table has the last word')
})

t.test('offered rows push nothing out of memory', async t => {
  const { clock, open, ask } = stage({ 'a@example.com': 'a', 'b@example.com': 'b' })
  const lookup = open({}, new Memory({ entries: 3, bytes: 10_000, absentEntries: 10 }))
  await ask('a@example.com', lookup)
  await ask('b@example.com', lookup)
  const said = await Promise.all([
    'c@example.com', 'd@example.com',
  ].map(key => offerRow(lookup.known, key, byteString('file'), clock.now() - minute, () => clock.now())))
  t.strictSame(said, ['kept', 'no room'])
  t.strictSame(rowKeys(lookup.known).sort(), ['a@example.com', 'b@example.com', 'c@example.com'])
})
