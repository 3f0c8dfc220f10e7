import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { makeEntry, statement } from '../../src/caches/entry.js'
import type { Entry } from '../../src/caches/entry.js'
import { Memory } from '../../src/caches/memory.js'
import { absent, byteString, found } from '../../src/outcome.js'

const lifetimes = { freshForMs: 300_000, staleForMs: 3_600_000, absentForMs: 30_000 }
const entry = (value: string) => makeEntry(statement(found(byteString(value)), 0), lifetimes, 0, 0)
const unknown = makeEntry(statement(absent, 0), lifetimes, 0, 0)

t.test('the least recently used of the found goes first, and a peek is no use', t => {
  const memory = new Memory({ entries: 2, bytes: 10_000, absentEntries: 10 })
  memory.set('a', entry('1'))
  memory.set('b', entry('2'))
  memory.get('a')
  memory.peekFound('b')
  memory.set('c', entry('3'))
  t.strictSame([...memory.known()].map(([key]) => key), ['c', 'a'])
  t.end()
})

t.test('long values count by their bytes', t => {
  const memory = new Memory({ entries: 1_000, bytes: 100_000, absentEntries: 10 })
  for (let index = 0; index < 100; index++) memory.set(`key${index}`, entry('x'.repeat(10_000)))
  t.ok(memory.size().found < 10 && memory.size().foundBytes <= 100_000)
  t.end()
})

t.test('long absent keys count by their bytes, too', t => {
  const memory = new Memory({ entries: 10, bytes: 10_000, absentEntries: 1_000 })
  for (let index = 0; index < 1_000; index++) memory.set(`${index}${'x'.repeat(10_000)}`, unknown)
  t.ok(memory.size().absent < 50)
  t.end()
})

t.test('no number of absent keys touches a found one', t => {
  const memory = new Memory({ entries: 1, bytes: 10_000, absentEntries: 10 })
  memory.set('known', entry('1'))
  for (let index = 0; index < 1_000; index++) memory.set(`stranger${index}`, unknown)
  t.match(memory.size(), { found: 1, absent: 10 })
  t.end()
})

t.test('no number of absent keys touches an absence of a key known elsewhere', t => {
  const memory = new Memory({ entries: 1, bytes: 10_000, absentEntries: 10 })
  memory.set('known', unknown, true)
  for (let index = 0; index < 1_000; index++) memory.set(`stranger${index}`, unknown)
  t.equal(memory.get('known'), unknown)
  t.equal(memory.peekFound('known'), undefined)
  t.end()
})

t.test('no number of absences of keys known elsewhere, as a catch-all knows any, touches a row', t => {
  for (const limits of [{ entries: 10, bytes: 1e9 }, { entries: 1e9, bytes: 2_800 }]) {
    const memory = new Memory({ ...limits, absentEntries: 10 })
    for (let index = 0; index < 5; index++) memory.set(`row${index}`, entry('1'))
    for (let index = 0; index < 1_000; index++) memory.set(`any${index}`, { ...unknown }, true)
    t.equal([...memory.known()].length, 5)
    t.ok(memory.peek('any999') !== undefined && memory.peek('any995') !== undefined && memory.peek('any994') === undefined)
    for (let index = 5; index < 20; index++) memory.set(`row${index}`, entry('1'))
    t.equal(memory.size().found, 10)
    t.strictSame([...memory.absentKeys()], [], 'rows take the room of absences')
    t.ok(memory.peek('row19') !== undefined && memory.peek('row9') === undefined)
  }
  t.end()
})

t.test('a key is found or absent, as it was set last', t => {
  const memory = new Memory({ entries: 10, bytes: 10_000, absentEntries: 10 })
  memory.set('key', entry('1'))
  memory.set('key', unknown)
  t.equal(memory.get('key'), unknown)
  t.equal(memory.peekFound('key'), undefined)
  memory.set('key', entry('2'))
  t.equal(memory.get('key')?.outcome.kind, 'found')
  t.match(memory.size(), { found: 1, absent: 0 })
  memory.delete('key')
  t.equal(memory.get('key'), undefined)
  t.end()
})

t.test('a value that is bigger than the whole memory is not kept, nor is what it replaces', t => {
  const memory = new Memory({ entries: 10, bytes: 1_000, absentEntries: 10 })
  memory.set('key', entry('1'))
  memory.set('key', entry('x'.repeat(2_000)))
  t.equal(memory.get('key'), undefined)
  t.end()
})

t.test('an empty memory takes next to nothing, however much it may hold', t => {
  const used = (): number => process.memoryUsage().heapUsed + process.memoryUsage().external
  const before = used()
  const memories = Array.from(
    { length: 10 }, () => new Memory({ entries: 1_000_000, bytes: 1e9, absentEntries: 1_000_000 }),
  )
  t.ok(used() - before < 10e6)
  t.equal(memories.length, 10)
  t.end()
})

t.test('changes that nobody takes any more are not collected without end: then all is saved anew', t => {
  const memory = new Memory({ entries: 100, bytes: 1_000_000, absentEntries: 10 })
  memory.takeChanges(false)
  memory.set('a', entry('1'), true)
  t.same([...memory.takeChanges(false) ?? []], ['a'])
  for (let index = 0; index < 111; index++) memory.set(`key${index}`, entry('1'), true)
  t.equal(memory.takeChanges(false), null)
  t.end()
})

t.test('what is saved while entries come and go lacks none that stayed', t => {
  const memory = new Memory({ entries: 1_000, bytes: 1_000_000, absentEntries: 1_000 })
  for (let index = 0; index < 300; index++) {
    // Rows, absences beside them, absences of strangers, answers that were put together.
    const key = `${index % 4 === 3 ? '\0' : ''}key${index}`
    memory.set(key, index % 4 === 1 || index % 4 === 2 ? { ...unknown } : entry('1'), index % 4 !== 2)
  }
  memory.takeChanges(true)
  const saved = new Set<string>()
  let turn = 0
  for (const key of memory.keysToSave()) {
    saved.add(key)
    turn++
    if (turn % 3 === 0) memory.delete(`key${(turn * 7) % 300}`)
    if (turn % 5 === 0) memory.set(`new${turn}`, entry('2'))
    if (turn % 11 === 0) memory.get(`key${turn}`)
  }
  const changed = memory.takeChanges(true) ?? new Set()
  for (const key of memory.allKeys()) t.ok(saved.has(key) || changed.has(key), key)
  t.strictSame(new Set(memory.allKeys()), new Set([...saved, ...changed].filter(key => memory.peek(key) !== undefined)))
  t.end()
})

t.test('a change of all entries is seen by whoever gets one, and leaves alone what comes after it', async t => {
  const limits = { entries: 10_000, bytes: 1e9, absentEntries: 100 }
  const memory = new Memory(limits)
  for (let index = 0; index < 3_000; index++) memory.set(`key${index}`, entry('1'))
  const done = new Set<string>()
  memory.changeAll((key, each) => {
    done.add(key)
    each.staleAt = -1
  })
  t.ok(done.size > 0 && done.size < 3_000, `${done.size} of 3000 at first`)
  const left = [...memory.allKeys()].filter(key => !done.has(key))
  for (const [index, get] of [
    (key: string) => memory.get(key), (key: string) => memory.peek(key), (key: string) => memory.peekFound(key),
  ].entries()) t.equal(get(left[index] ?? '')?.staleAt, -1)
  // Another memory, as of a reload with other bounds, gets them changed.
  const next = new Memory(limits)
  next.takeOver(memory, (_key, each) => ({ ...each, slot: -1 }))
  t.strictSame([...next.allKeys()].filter(key => next.peek(key)?.staleAt !== -1), [])
  memory.set('new', entry('2'))
  t.not(memory.peek('new')?.staleAt, -1)
  while (done.size < 3_000) await setTimeout(1)
  t.not(memory.peek('new')?.staleAt, -1)
})

t.test('the rows of a small table are drawn beside those of a large one', t => {
  const memory = new Memory({ entries: 100_000, bytes: 1e9, absentEntries: 10 })
  const rowOf = (table: number): Entry => makeEntry(statement(found(byteString('x')), 0, table), lifetimes, 0, 0)
  for (let number = 0; number < 5_000; number++) memory.set(`large${number}`, rowOf(0))
  for (let number = 0; number < 5; number++) memory.set(`small${number}`, rowOf(1))
  const drawn = (): string[] => memory.sample(1, 10, () => true, Math.random).toSorted()
  t.strictSame(drawn(), ['small0', 'small1', 'small2', 'small3', 'small4'])
  memory.set('small0', rowOf(0))
  memory.delete('small1')
  t.strictSame(drawn(), ['small2', 'small3', 'small4'])
  t.end()
})
