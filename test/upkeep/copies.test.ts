/** What a new copy of a table in a real MariaDB says of the table, with the copies before it. */
import { existsSync, readFileSync, readdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { MapCopies } from '../../src/caches/map_copies.js'
import { Memory } from '../../src/caches/memory.js'
import type { MysqlMap } from '../../src/lookup/maps.js'
import { absent } from '../../src/outcome.js'
import { keepCopies } from '../../src/upkeep/copies.js'
import { readCopyFiles } from '../../src/upkeep/copy_files.js'
import { freshFolder } from '../fixtures/guard.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { aDay, minute, stage } from '../lookup/stage.js'
import { openTable } from './bed.js'

const mariadb = await startMariadb()
t.teardown(() => mariadb.stop())

const valuesOf = (numbers: readonly number[]): string =>
  numbers.map(number => `('user${number}@example.com', 'box')`).join()
const numbersFrom = (first: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, index) => first + index)

/** The file of a table's copy, once it is there: that is after the event. */
const written = async (folder: string): Promise<string> => {
  for (;;) {
    const [name] = existsSync(folder) ? readdirSync(folder).filter(each => /^alias\.0\.[0-9a-f]{16}$/.test(each)) : []
    if (name !== undefined) return name
    await setTimeout(5)
  }
}

const emptyMemory = (): Memory => new Memory({ entries: 1_000, bytes: 1_000_000, absentEntries: 10 })

/** A map on a table with users 0 to 39, with a file of its copies; `copy` resolves when the next one has ended. */
const bed = async (t: Test, folder: string | null = null) => {
  await mariadb.sql(`CREATE OR REPLACE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto VARCHAR(255));
    INSERT INTO alias VALUES ${valuesOf(numbersFrom(0, 40))}`)
  const table = openTable(t, mariadb, mariadb)
  const staged = stage({}, { search: 'exact', tables: [table.source] })
  const { clock, lookup } = staged
  const events: string[] = []
  let onEvent = (): void => undefined
  const note = (event: string): void => {
    events.push(event)
    onEvent()
  }
  /** Begins to take copies; as a process that starts, it first has to read its files. */
  const keep = (of: typeof lookup, hasFiles = false) => {
    const map = {
      name: 'alias', tables: [table], lookup: of, trust: of.trust, copies: of.known.copies,
      config: { sensitive: false }, identity: of.known.identity,
    } as unknown as MysqlMap
    const copies = keepCopies({
      maps: [map], everyMs: 15 * minute, maxRows: 1_000, folder, clock, random: () => 0.5,
      onTaken: (_map, rows) => note(`${rows} rows`), onProblem: (_map, problem) => note(problem),
    })
    if (!hasFiles) copies.start()
    t.teardown(() => copies.close())
    return copies
  }
  const next = async (): Promise<string> => {
    const before = events.length
    while (events.length === before) {
      await clock.advance(minute)
      await new Promise<void>(resolve => {
        onEvent = resolve
        void setTimeout(20).then(resolve)
      })
    }
    return events.at(-1) ?? ''
  }
  /** Changes something, and lets time pass until a copy comes to what is meant; others may have been under way. */
  const until = async (pattern: RegExp, change: () => unknown = () => undefined): Promise<void> => {
    const from = events.length
    await change()
    while (!events.slice(from).some(event => pattern.test(event))) await next()
  }
  /** The next attempt, which no clock but the test moves. */
  const attempt = (): Promise<string> => new Promise(resolve => {
    onEvent = () => resolve(events.at(-1) ?? '')
  })
  /** The next copy, taken when it is due. */
  const again = async (): Promise<string> => {
    await setTimeout(20)
    const attempted = attempt()
    await clock.advance(15 * minute)
    return attempted
  }
  const ask = (key: string): Promise<unknown> => Promise.resolve(lookup.lookup(key))
  return { ...staged, keep, next, until, attempt, again, ask }
}

t.test('a table that usually keeps its rows is in doubt when a copy lacks them, and the last copy is kept', async t => {
  const { keep, next, until, lookup, ask } = await bed(t)
  const copies = keep(lookup)
  t.equal(await next(), '40 rows')
  await until(/lacks \d+ of \d+ known keys/, () => mariadb.sql('DELETE FROM alias WHERE address NOT LIKE \'user1%\''))
  t.match(copies.of('alias'), [{ rows: 40 }])
  t.match(await ask('nobody@example.com'), { reason: 'distrusted' })
  await until(/the table is in doubt/)
})

t.test('a first copy is compared with what else is known of the table', async t => {
  const { keep, until, lookup, ask } = await bed(t)
  for (const number of numbersFrom(0, 20)) await ask(`user${number}@example.com`)
  await mariadb.sql('TRUNCATE alias')
  const copies = keep(lookup)
  await until(/lacks 20 of 20 known keys/)
  t.match(copies.of('alias'), [{ rows: 0, takenAt: null }])
  t.match(await ask('nobody@example.com'), { reason: 'distrusted' })
})

t.test('a table whose rows come and go may lose more than max_shrink at once, also after a restart', async t => {
  const folder = freshFolder()
  const { keep, next, lookup, open, clock } = await bed(t, folder)
  const first = keep(lookup)
  await next()
  // A quarter of the rows lives on for less than the time from one copy to the next.
  for (let round = 0; round < 5; round++) {
    for (const number of numbersFrom(10 * round, 10)) await lookup.lookup(`user${number}@example.com`)
    await mariadb.sql(`DELETE FROM alias ORDER BY LENGTH(address), address LIMIT 10;
      INSERT INTO alias VALUES ${valuesOf(numbersFrom(40 + 10 * round, 10))}`)
    t.equal(await next(), '40 rows', `round ${round}: what memory knew long ago is no evidence`)
  }
  first.close()
  const after = open()
  const second = keep(after, true)
  await second.readFiles()
  second.start()
  t.match(await next(), '40 rows')
  await mariadb.sql('DELETE FROM alias ORDER BY address LIMIT 18')
  t.equal(await next(), '22 rows', '45 % are gone at once')
  t.strictSame(after.trust.doubts, [])
  await clock.advance(minute)
  t.strictSame(await after.lookup('nobody@example.com'), absent)
})

t.test('a loss that an administrator trusted does not count as usual', async t => {
  const { keep, next, until, lookup, ask, trust, clock } = await bed(t)
  keep(lookup)
  await next()
  for (let round = 1; round <= 3; round++) {
    const others = valuesOf(numbersFrom(100 * round, 40))
    await until(/lacks \d+ of \d+ known keys/, () => mariadb.sql(`TRUNCATE alias; INSERT INTO alias VALUES ${others}`))
    await until(/^40 rows$/, () => trust.trust())
    // That one may have been under way: what it has is from before, and no evidence.
    await until(/^40 rows$/)
    await clock.advance(minute)
  }
  await until(/lacks \d+ of \d+ known keys/, () => mariadb.sql('TRUNCATE alias'))
  t.match(await ask('nobody@example.com'), { reason: 'distrusted' })
})

t.test('a table whose rows are large is treated as one that has too many', async t => {
  const { keep, next, lookup } = await bed(t)
  const copies = keep(lookup)
  t.equal(await next(), '40 rows')
  await mariadb.sql('ALTER TABLE alias MODIFY goto MEDIUMTEXT; UPDATE alias SET goto = REPEAT(\'x\', 10000)')
  t.match(await next(), 'its rows take more than the 200 kB that copy_rows leaves for it')
  t.match(copies.of('alias'), [{ rows: 40 }], 'the last copy stays')
})

t.test('a copy that could not be taken is tried again after a minute, two and four, not after copy_every', async t => {
  const { keep, attempt, lookup, clock } = await bed(t)
  await mariadb.sql('RENAME TABLE alias TO away')
  const before = clock.timers()
  const first = attempt()
  keep(lookup)
  t.match(await first, /query-error/)
  for (const minutes of [1, 2, 4]) {
    // The timer of the next try.
    while (clock.timers() === before) await setTimeout(5)
    if (minutes === 4) await mariadb.sql('RENAME TABLE away TO alias')
    const next = attempt()
    await clock.advance(minutes * minute)
    t.match(await next, minutes === 4 ? '40 rows' : /query-error/)
  }
})

t.test('after rows changed a copy is taken within a minute, and the next one copy_every after that', async t => {
  const { keep, attempt, lookup, clock } = await bed(t)
  const before = clock.timers()
  const first = attempt()
  const copies = keep(lookup)
  t.equal(await first, '40 rows')
  const times: number[] = []
  for (const [change, minutes] of [[() => copies.retake('alias'), 1], [() => undefined, 15]] as const) {
    // The timer of the next copy.
    while (clock.timers() === before) await setTimeout(5)
    await clock.advance(minute)
    change()
    const next = attempt()
    await clock.advance(minutes * minute)
    t.equal(await next, '40 rows')
    times.push(copies.of('alias')[0]?.takenAt ?? 0)
  }
  const [changed = 0, regular = 0] = times
  t.equal(regular - changed, 15 * minute)
})

t.test('a key that a new copy lacks is kept until the table, or one more copy, says so again', async t => {
  const { keep, again, next, lookup, ask, clock } = await bed(t)
  keep(lookup)
  t.equal(await next(), '40 rows')
  await mariadb.sql('DELETE FROM alias ORDER BY LENGTH(address), address LIMIT 8')
  t.equal(await again(), '32 rows', 'a fifth is no reason for doubt')
  const answers = () => Promise.all(numbersFrom(0, 4).map(number => ask(`user${number}@example.com`)))
  for (const answer of await answers()) t.match(answer, { kind: 'found', value: 'box', age: 'stale' })
  await clock.advance(3 * minute)
  for (const answer of await answers()) t.match(answer, { kind: 'found' }, 'before confirm_for is over')
  await clock.advance(3 * minute)
  t.strictSame(await answers(), numbersFrom(0, 4).map(() => absent), 'the table says so, too')
  t.ok(lookup.has('user7@example.com'), 'that nobody has asked for')
  t.equal(await again(), '32 rows')
  t.notOk(lookup.has('user7@example.com'), 'the next copy lacks it, too')
})

t.test('a key that a new copy lacks and the table has again is found', async t => {
  const { keep, again, next, lookup, ask, clock } = await bed(t)
  keep(lookup)
  await next()
  await mariadb.sql('DELETE FROM alias WHERE address = \'user1@example.com\'')
  t.equal(await again(), '39 rows')
  await mariadb.sql(`INSERT INTO alias VALUES ${valuesOf([1])}`)
  await clock.advance(6 * minute)
  t.match(await ask('user1@example.com'), { kind: 'found', age: 'fresh' })
})

t.test('after stale_for a copy no longer answers in an outage, but stays evidence', async t => {
  const folder = freshFolder()
  const { keep, next, until, lookup, open, clock } = await bed(t, folder)
  const first = keep(lookup)
  await next()
  await written(folder)
  first.close()
  await clock.advance(6 * aDay)
  t.ok(open({}, emptyMemory()).has('user1@example.com'))
  await clock.advance(aDay)
  const after = open({}, emptyMemory())
  t.notOk(after.has('user1@example.com'))
  // Half of the rows are gone meanwhile.
  await mariadb.sql(`DELETE FROM alias ORDER BY address LIMIT 20;
    INSERT INTO alias VALUES ${valuesOf(numbersFrom(40, 20))}`)
  const read = new MapCopies(1)
  const restarted = open({}, emptyMemory(), read)
  const second = keep(restarted, true)
  await second.readFiles()
  second.start()
  t.notOk(restarted.has('user1@example.com'))
  await until(/^the table lacks /)
  t.match(restarted.trust.doubts, [{ cause: 'copy-shrunk' }])
})

/** The same bed, whose folder has the file of a first copy; `restart` is a process that reads the folder. */
const bedWithFile = async (t: Test) => {
  const folder = freshFolder()
  const staged = await bed(t, folder)
  const first = staged.keep(staged.lookup)
  await staged.next()
  const current = await written(folder)
  const restart = async () => {
    const copies = staged.keep(staged.open({}, emptyMemory(), new MapCopies(1)), true)
    await copies.readFiles()
    return copies
  }
  return { ...staged, folder, first, current, restart }
}

t.test('the file of a copy that no table has any use for is removed a week after it was written', async t => {
  const { next, folder, first, current, restart } = await bedWithFile(t)
  const file = (name: string): string => join(folder, name)
  const firstBytes = readFileSync(file(current))
  await next()
  while (readFileSync(file(current)).equals(firstBytes)) await setTimeout(5)
  first.close()
  // Of when the map had other names.
  for (const name of ['former.0', 'recent.0']) writeFileSync(file(current.replace('alias.0', name)), firstBytes)
  writeFileSync(file('mail.1'), 'of somebody else')
  const weekAgo = Date.now() / 1_000 - 7 * 86_400 - 60
  for (const name of [current, current.replace('alias', 'former'), 'mail.1']) utimesSync(file(name), weekAgo, weekAgo)
  const second = await restart()
  t.strictSame(readdirSync(folder).toSorted(), [current, 'mail.1', current.replace('alias', 'recent')])
  t.match(second.of('alias'), [{ rows: 40 }])
})

t.test('the file of a copy is there after a week in which the node was off, for a map whose fault is mended then', async t => {
  const { folder, first, current, restart } = await bedWithFile(t)
  first.close()
  const weekAgo = Date.now() / 1_000 - 7 * 86_400 - 60
  utimesSync(join(folder, current), weekAgo, weekAgo)
  await readCopyFiles(folder, [], Date.now(), () => undefined)
  const second = await restart()
  t.match(second.of('alias'), [{ rows: 40 }])
})

t.test('a file from when the clock was ahead takes no newer one\'s place', async t => {
  const folder = freshFolder()
  const { clock, keep, next, until, lookup, open } = await bed(t, folder)
  clock.set(clock.now() + aDay)
  const first = keep(lookup)
  await next()
  const current = await written(folder)
  const firstBytes = readFileSync(join(folder, current))
  clock.set(clock.now() - aDay)
  await until(/^41 rows/, () => mariadb.sql(`INSERT INTO alias VALUES ${valuesOf([40])}`))
  while (readFileSync(join(folder, current)).equals(firstBytes)) await setTimeout(5)
  first.close()
  // Of when the map had another name.
  writeFileSync(join(folder, current.replace('alias', 'former')), firstBytes)
  const second = keep(open({}, emptyMemory(), new MapCopies(1)), true)
  await second.readFiles()
  t.match(second.of('alias'), [{ rows: 41 }])
})

t.test('the file of a copy by an earlier version, without an id in its name, is read', async t => {
  const { folder, first, current, restart } = await bedWithFile(t)
  first.close()
  renameSync(join(folder, current), join(folder, 'alias.0'))
  const second = await restart()
  t.match(second.of('alias'), [{ rows: 40 }])
})
