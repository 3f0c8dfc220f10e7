/**
 * An administrator edits the definition of a map, or renames the map, while the rows of its table are lost, and reloads
 * or restarts; with a snapshot and copies, and with Redis alone. What the former definition found is evidence: Holdfast
 * refuses none of those keys.
 *
 * 1. A table of 100 rows; half of them are asked for, a copy has the others.
 * 2. The table is emptied, or loses most of its rows. In some cases nobody notices.
 * 3. The definition is edited.
 * 4. Neither those that were asked for nor the others are refused, and what a former definition found is not served.
 */
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import t from 'tap'
import type { Test } from 'tap'
import { startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { startRedis } from '../fixtures/redis.js'
import { socketmapAsk } from '../fixtures/wire.js'

t.setTimeout(300_000)

const mariadb = await during(t, startMariadb({ sql: 'CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT NOT NULL, active TINYINT DEFAULT 1); CREATE TABLE extra LIKE alias' }))
const { host, port, user, password, database } = mariadb

const rows = Array.from({ length: 100 }, (_, index) => `user${index}@example.com`)
const asked = rows.slice(0, 50)
const fill = (keys: readonly string[]): Promise<unknown> =>
  mariadb.sql(`DELETE FROM alias; INSERT INTO alias (address, goto) VALUES ${keys.map(key => `('${key}', 'box')`).join()}`)

const query = 'SELECT goto FROM alias WHERE address=\'%s\' AND active=1'
type Cf = Readonly<Record<string, string | number>>

/** A configuration with one map on tables that are defined so. */
const configOf = (dir: string, tables: readonly Cf[], map = 'alias', more = {}): string => {
  const cf = tables.map((parameters, index) => {
    const path = `${dir}/${index}-${Math.random()}.cf`
    const all = { hosts: `${host}:${port}`, user, password, dbname: database, ...parameters }
    writeFileSync(path, Object.entries(all).map(([name, value]) => `${name} = ${value}\n`).join(''))
    return path
  })
  return JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], health: 'off', snapshot: `${dir}/snapshot`, copies: `${dir}/copies`,
    maps: { [map]: { search: 'exact', absence: 'refuses', cf } }, ...more,
  })
}

/** How often each kind of answer came for these keys. */
const answers = async ({ dir }: Holdfast, map: string, keys: readonly string[]): Promise<Readonly<Record<string, number>>> => {
  const counts: Record<string, number> = {}
  for (const key of keys) {
    const [word = ''] = (await socketmapAsk(`${dir}/s`, map, key)).split(' ')
    counts[word] = (counts[word] ?? 0) + 1
  }
  return counts
}

/** The daemon, which has been asked for half of the rows, and has a copy of all. */
const start = async (t: Test, tables: readonly Cf[] = [{ query }], more = {}): Promise<Holdfast> => {
  await fill(rows)
  const holdfast = await during(t, startHoldfast(dir => configOf(dir, tables, 'alias', more)), 'kill')
  if (!('copy_rows' in more)) await holdfast.logged(/a copy of its table \(100 rows\)/)
  t.strictSame(await answers(holdfast, 'alias', asked), { OK: 50 })
  return holdfast
}

const reload = async (holdfast: Holdfast, config: string, before: () => unknown = () => undefined): Promise<void> => {
  await before()
  const from = holdfast.log().length
  holdfast.configure(config)
  holdfast.reload()
  await holdfast.logged(/ reloaded: /, from)
}

const restart = async (holdfast: Holdfast, config: string, meanwhile: () => unknown = () => undefined): Promise<void> => {
  await holdfast.stop()
  await meanwhile()
  holdfast.configure(config)
  await holdfast.start()
}

const other = { query: 'SELECT goto FROM extra WHERE address=\'%s\'' }
const edits: ReadonlyMap<string, { readonly tables: readonly Cf[], readonly before?: readonly Cf[], readonly map?: string }> = new Map([
  ['LIMIT', { tables: [{ query: `${query} LIMIT 1` }] }],
  ['another condition', { tables: [{ query: query.replace('1', '\'1\'') }] }],
  ['result_format', { tables: [{ query, result_format: '%s,' }] }],
  ['domain', { tables: [{ query, domain: 'example.com' }] }],
  ['charset', { tables: [{ query, charset: 'latin1' }] }],
  ['expansion_limit', { tables: [{ query, expansion_limit: 9 }] }],
  ['the order of two tables', { before: [{ query }, other], tables: [other, { query }] }],
  ['another table in front', { tables: [other, { query }] }],
  ['the name of the map', { tables: [{ query }], map: 'aliases' }],
])

for (const [name, { before, tables, map = 'alias' }] of edits) {
  t.test(`edited while the table is in doubt: ${name}`, async t => {
    const holdfast = await start(t, before)
    await mariadb.sql('TRUNCATE alias')
    t.strictSame(await answers(holdfast, 'alias', ['nobody@example.com']), { TEMP: 1 })
    await reload(holdfast, configOf(holdfast.dir, tables, map))
    t.notOk('NOTFOUND' in await answers(holdfast, map, rows))
    t.strictSame(await answers(holdfast, map, ['nobody@example.com']), { TEMP: 1 }, 'in doubt')
  })
}

t.test('blanks and keywords in small letters are no other definition', async t => {
  const holdfast = await start(t)
  await mariadb.sql('TRUNCATE alias')
  await reload(holdfast, configOf(holdfast.dir, [{ query: 'select goto  from alias where address = \'%s\' and active=1' }]))
  t.strictSame(await answers(holdfast, 'alias', asked), { OK: 50 })
})

t.test('edited and put back, while most of the table is missing', async t => {
  const holdfast = await start(t)
  await fill(rows.filter((_, index) => index % 5 < 3))
  await reload(holdfast, configOf(holdfast.dir, [{ query: `${query} LIMIT 1` }]))
  await reload(holdfast, configOf(holdfast.dir, [{ query }]))
  t.notOk('NOTFOUND' in await answers(holdfast, 'alias', rows))
})

t.test('the next reload undoes a mistaken one, also in an outage, and with the table emptied', async t => {
  const mistakes: ReadonlyMap<string, (dir: string) => string> = new Map([
    ['the map is removed', dir => configOf(dir, [other], 'another')],
    ['the map is defined otherwise', dir => configOf(dir, [{ query: `${query} LIMIT 1` }])],
    ['the map is defined otherwise twice', dir => configOf(dir, [{ query: `${query} LIMIT 2` }])],
  ])
  for (const [name, mistaken] of mistakes) {
    await t.test(name, async t => {
      const holdfast = await start(t)
      await mariadb.sql('TRUNCATE alias')
      t.strictSame(await answers(holdfast, 'alias', ['nobody@example.com']), { TEMP: 1 }, 'in doubt')
      await reload(holdfast, mistaken(holdfast.dir))
      if (name.endsWith('twice')) await reload(holdfast, configOf(holdfast.dir, [{ query: `${query} LIMIT 3` }]))
      await reload(holdfast, configOf(holdfast.dir, [{ query }]))
      t.strictSame(await answers(holdfast, 'alias', asked), { OK: 50 })
      t.strictSame(await answers(holdfast, 'alias', ['nobody@example.com']), { TEMP: 1 }, 'still in doubt')
    })
  }
})

t.test('a map has the wrong query at the start, and a reload mends it, in an outage or with the table emptied', async t => {
  for (const happens of ['an outage', 'the table is emptied']) {
    await t.test(happens, async t => {
      const holdfast = await start(t, [{ query }], { copy_rows: 0 })
      const wrong = configOf(holdfast.dir, [{ query: query.replace('active=1', 'active=2') }], 'alias', { copy_rows: 0 })
      await restart(holdfast, wrong, () => happens === 'an outage' ? mariadb.kill() : mariadb.sql('TRUNCATE alias'))
      t.strictSame(await answers(holdfast, 'alias', asked), { TEMP: 50 })
      await reload(holdfast, configOf(holdfast.dir, [{ query }], 'alias', { copy_rows: 0 }))
      await holdfast.logged(/snapshot: 50 answers recalled/)
      t.strictSame(await answers(holdfast, 'alias', asked), { OK: 50 })
      if (happens === 'an outage') await mariadb.start()
    })
  }
})

t.test('a map is faulty at the start, and a reload mends it, in an outage or with the table emptied', async t => {
  const configWith = (dir: string, cf: readonly string[] | null): string => {
    const { maps: second } = JSON.parse(configOf(dir, [other], 'second')) as { readonly maps: object }
    const { maps: { alias }, ...config } = JSON.parse(configOf(dir, [{ query }])) as { readonly maps: { readonly alias: object } }
    return JSON.stringify({ ...config, copy_rows: 0, maps: { ...second, alias: { ...alias, ...cf === null ? {} : { cf } } } })
  }
  for (const happens of ['an outage', 'the table is emptied', 'the table is emptied, and the next snapshot is written']) {
    await t.test(happens, async t => {
      await fill(rows)
      const holdfast = await during(t, startHoldfast(dir => configWith(dir, null)), 'kill')
      t.strictSame(await answers(holdfast, 'alias', asked), { OK: 50 })
      await restart(holdfast, configWith(holdfast.dir, ['/nonexistent.cf']), () =>
        happens === 'an outage' ? mariadb.kill() : mariadb.sql('TRUNCATE alias'))
      t.strictSame(await answers(holdfast, 'alias', asked), { TEMP: 50 })
      if (happens.endsWith('written')) await restart(holdfast, configWith(holdfast.dir, ['/nonexistent.cf']))
      await reload(holdfast, configWith(holdfast.dir, null))
      t.strictSame(await answers(holdfast, 'alias', asked), { OK: 50 })
      t.strictSame(await answers(holdfast, 'alias', ['nobody@example.com']), { TEMP: 1 })
      if (happens === 'an outage') await mariadb.start()
    })
  }
})

t.test('a reload takes a map away, or edits it, and a restart brings it back, in an outage or with the table emptied', async t => {
  for (const mistaken of [[other], [{ query: `${query} LIMIT 1` }]]) {
    for (const happens of ['an outage', 'the table is emptied']) {
      await t.test(`${mistaken[0] === other ? 'taken away' : 'edited'}, ${happens}`, async t => {
        const more = { copy_rows: 0 }
        const holdfast = await start(t, [{ query }], more)
        await reload(holdfast, configOf(holdfast.dir, mistaken, mistaken[0] === other ? 'another' : 'alias', more))
        await restart(holdfast, configOf(holdfast.dir, [{ query }], 'alias', more), () =>
          happens === 'an outage' ? mariadb.kill() : mariadb.sql('TRUNCATE alias'))
        t.strictSame(await answers(holdfast, 'alias', asked), { OK: 50 })
        if (happens === 'an outage') await mariadb.start()
      })
    }
  }
})

t.test('two maps exchange their names, and what they know goes with their tables', async t => {
  const maps = (dir: string, one: Cf, two: Cf): string => {
    const { maps, ...rest } = JSON.parse(configOf(dir, [one], 'one')) as { maps: object }
    const { maps: more } = JSON.parse(configOf(dir, [two], 'two')) as { maps: object }
    return JSON.stringify({ ...rest, maps: { ...maps, ...more } })
  }
  for (const [how, change] of [['reload', reload], ['restart', restart]] as const) {
    await fill(rows)
    await mariadb.sql('DELETE FROM extra; INSERT INTO extra (address, goto) SELECT address, \'other\' FROM alias')
    const holdfast = await during(t, startHoldfast(dir => maps(dir, { query }, other)), 'kill')
    t.strictSame(await answers(holdfast, 'one', asked), { OK: 50 })
    t.strictSame(await answers(holdfast, 'two', asked), { OK: 50 })
    await change(holdfast, maps(holdfast.dir, other, { query }), () => mariadb.sql('TRUNCATE alias; TRUNCATE extra'))
    t.strictSame(await answers(holdfast, 'two', asked), { OK: 50 }, how)
    t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'one', 'user1@example.com'), 'OK other', how)
  }
})

t.test('the table is emptied and the map renamed while Holdfast is stopped', async t => {
  const lost: Readonly<Record<string, readonly string[]>> = {
    nothing: [], 'the snapshot': ['snapshot'], 'the copies': ['copies'], 'all but Redis': ['snapshot', 'copies'],
  }
  for (const [name, files] of Object.entries(lost)) {
    await t.test(`${name} is lost`, async t => {
      const redis = files.length === 2 ? await during(t, startRedis()) : null
      const more = redis === null ? {} : { redis: { host: '127.0.0.1', port: redis.port } }
      const holdfast = await start(t, [{ query }], more)
      const renamed = configOf(holdfast.dir, [{ query }], 'aliases', more)
      await restart(holdfast, renamed, async () => {
        await mariadb.sql('TRUNCATE alias')
        for (const file of files) rmSync(`${holdfast.dir}/${file}`, { recursive: true })
      })
      t.strictSame(await answers(holdfast, 'aliases', asked), { OK: 50 })
      t.strictSame(await answers(holdfast, 'aliases', rows.slice(50)), files.includes('copies') ? { TEMP: 50 } : { OK: 50 })
      t.strictSame(await answers(holdfast, 'aliases', ['nobody@example.com']), { TEMP: 1 }, 'in doubt')
      await restart(holdfast, renamed)
      t.strictSame(await answers(holdfast, 'aliases', asked), { OK: 50 }, 'by its new name')
    })
  }
})

t.test('maps with one query on two servers are renamed, and listed in another order, and the larger table is emptied', async t => {
  const second = await during(t, startMariadb({ sql: 'CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT NOT NULL, active TINYINT DEFAULT 1); INSERT INTO alias VALUES (\'one@other.example\', \'box\', 1)' }))
  const there = { query, hosts: `${second.host}:${second.port}` }
  const mapsOf = (dir: string, maps: Readonly<Record<string, Cf>>, more: object): string => {
    const each = Object.entries(maps).map(([map, cf]) => JSON.parse(configOf(dir, [cf], map, more)) as { readonly maps: object })
    return JSON.stringify({ ...each[0], maps: Object.assign({}, ...each.map(one => one.maps)) as object })
  }
  for (const [how, change] of [['reload', reload], ['restart', restart]] as const) {
    for (const more of [{}, { copy_rows: 0 }]) {
      await t.test(`${how}, ${JSON.stringify(more)}`, async t => {
        await fill(rows)
        const holdfast = await during(t, startHoldfast(dir => mapsOf(dir, { here: { query }, there }, more)), 'kill')
        if (!('copy_rows' in more)) await holdfast.logged(/a copy of its table \(100 rows\)/)
        t.strictSame(await answers(holdfast, 'here', asked), { OK: 50 })
        t.strictSame(await answers(holdfast, 'there', ['one@other.example']), { OK: 1 })
        await change(holdfast, mapsOf(holdfast.dir, { there2: there, here2: { query } }, more), () => mariadb.sql('TRUNCATE alias'))
        t.strictSame(await answers(holdfast, 'here2', asked), { OK: 50 })
        t.strictSame(await answers(holdfast, 'there2', ['one@other.example', ...asked]), { OK: 1, NOTFOUND: 50 })
      })
    }
  }
})

t.test('maps with one query on two servers swap names while Holdfast is stopped, and the snapshot is lost', async t => {
  const second = await during(t, startMariadb({ sql: 'CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT NOT NULL, active TINYINT DEFAULT 1); INSERT INTO alias VALUES (\'one@other.example\', \'box\', 1)' }))
  await fill(rows)
  for (const names of [['one', 'two'], ['two', 'one'], ['three', 'four'], ['four', 'three']]) {
    const mapsOf = (dir: string, [first = '', other = '']: readonly string[]): string => {
      const { maps, ...config } = JSON.parse(configOf(dir, [{ query }], first)) as { readonly maps: object }
      const there = JSON.parse(configOf(dir, [{ query, hosts: `${second.host}:${second.port}` }], other)) as { readonly maps: object }
      return JSON.stringify({ ...config, maps: { ...maps, ...there.maps } })
    }
    const holdfast = await during(t, startHoldfast(dir => mapsOf(dir, ['one', 'two'])), 'kill')
    for (const map of ['one', 'two']) await holdfast.logged(new RegExp(`map ${map}: a copy of its table`))
    await Promise.all([mariadb.kill(), second.kill()])
    await restart(holdfast, mapsOf(holdfast.dir, names), () => { rmSync(`${holdfast.dir}/snapshot`) })
    const [here = '', there = ''] = names
    t.strictSame(await answers(holdfast, here, rows), { OK: 100 }, here)
    t.strictSame(await answers(holdfast, there, ['one@other.example', ...asked]), { OK: 1, NOTFOUND: 50 }, 'the other map knows those')
    await Promise.all([mariadb.start(), second.start()])
  }
})

t.test('maps with one query on two servers are renamed in an outage, and Redis has more than the rest, or is all that is left', async t => {
  const second = await during(t, startMariadb({ sql: 'CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT NOT NULL, active TINYINT DEFAULT 1); INSERT INTO alias VALUES (\'one@other.example\', \'box\', 1), (\'user0@example.com\', \'there\', 1)' }))
  const redis = await during(t, startRedis())
  await fill(rows)
  let prefix = 0
  for (const [here, there] of [['two', 'one'], ['two', 'three']] as const) {
    for (const left of ['all', 'Redis']) {
      await t.test(`to ${here} and ${there}, ${left} is left`, async t => {
        const more = { redis: { host: '127.0.0.1', port: redis.port, key_prefix: `${prefix++}:` } }
        const mapsOf = (dir: string, first: string, other: string): string => {
          const { maps, ...config } = JSON.parse(configOf(dir, [{ query }], first, more)) as { readonly maps: object }
          const elsewhere = JSON.parse(configOf(dir, [{ query, hosts: `${second.host}:${second.port}` }], other)) as { readonly maps: object }
          return JSON.stringify({ ...config, maps: { ...maps, ...elsewhere.maps } })
        }
        const holdfast = await during(t, startHoldfast(dir => mapsOf(dir, 'one', 'two')), 'kill')
        t.strictSame(await answers(holdfast, 'one', asked), { OK: 50 })
        t.strictSame(await answers(holdfast, 'two', ['one@other.example', 'user0@example.com']), { OK: 2 })
        await Promise.all([mariadb.kill(), second.kill()])
        await restart(holdfast, mapsOf(holdfast.dir, here, there), () => {
          if (left === 'all') return
          for (const file of ['snapshot', 'copies']) rmSync(`${holdfast.dir}/${file}`, { recursive: true, force: true })
        })
        t.strictSame(await answers(holdfast, here, asked), { OK: 50 }, here)
        t.equal(await socketmapAsk(`${holdfast.dir}/s`, here, 'user0@example.com'), 'OK box')
        t.equal(await socketmapAsk(`${holdfast.dir}/s`, there, 'user0@example.com'), 'OK there')
        t.strictSame(await answers(holdfast, there, ['one@other.example']), { OK: 1 }, there)
        await Promise.all([mariadb.start(), second.start()])
      })
    }
  }
})

t.test('the table is emptied and its definition edited while Holdfast is stopped', async t => {
  for (const lost of ['nothing', 'the snapshot', 'the copies']) {
    await t.test(`${lost} is lost`, async t => {
      const holdfast = await start(t)
      await restart(holdfast, configOf(holdfast.dir, [{ query: `${query} LIMIT 1` }]), async () => {
        await mariadb.sql('TRUNCATE alias')
        if (lost === 'the snapshot') rmSync(`${holdfast.dir}/snapshot`)
        if (lost === 'the copies') rmSync(`${holdfast.dir}/copies`, { recursive: true })
      })
      t.notOk('NOTFOUND' in await answers(holdfast, 'alias', lost === 'the copies' ? asked : rows))
    })
  }
  t.test('only Redis is left', async t => {
    const redis = await during(t, startRedis())
    const more = { redis: { host: '127.0.0.1', port: redis.port } }
    const holdfast = await start(t, [{ query }], more)
    await restart(holdfast, configOf(holdfast.dir, [{ query: `${query} LIMIT 1` }], 'alias', more), async () => {
      await mariadb.sql('TRUNCATE alias')
      rmSync(`${holdfast.dir}/snapshot`)
      rmSync(`${holdfast.dir}/copies`, { recursive: true })
    })
    t.notOk('NOTFOUND' in await answers(holdfast, 'alias', asked))
  })
})

t.test('edited while all is well: rows have the new form at once, and who never was is absent', async t => {
  for (const [how, change] of [['reload', reload], ['restart', restart]] as const) {
    const holdfast = await start(t, [{ query }, other])
    await change(holdfast, configOf(holdfast.dir, [other, { query, result_format: '<%s>' }]))
    t.equal(await socketmapAsk(`${holdfast.dir}/s`, 'alias', 'user1@example.com'), 'OK <box>', how)
    t.strictSame(await answers(holdfast, 'alias', rows), { OK: 100 }, how)
    t.strictSame(await answers(holdfast, 'alias', ['nobody@example.com']), { NOTFOUND: 1 }, how)
  }
})

t.test('a table is emptied while Holdfast is stopped, and what it knew is damaged', async t => {
  for (const damaged of ['the snapshot', 'the copy'] as const) {
    await t.test(damaged, async t => {
      const holdfast = await start(t)
      await restart(holdfast, configOf(holdfast.dir, [{ query }]), async () => {
        await mariadb.sql('TRUNCATE alias')
        const [copy = ''] = readdirSync(`${holdfast.dir}/copies`)
        const paths = { 'the snapshot': `${holdfast.dir}/snapshot`, 'the copy': `${holdfast.dir}/copies/${copy}` }
        for (const path of Object.values(paths)) rmSync(path)
        writeFileSync(paths[damaged], 'junk')
      })
      t.strictSame(await answers(holdfast, 'alias', rows), { TEMP: 100 })
      await fill(rows)
      t.strictSame(await answers(holdfast, 'alias', rows), { OK: 100 })
      t.strictSame(await answers(holdfast, 'alias', ['nobody@example.com']), { NOTFOUND: 1 }, 'the table has shown its rows')
    })
  }
})
