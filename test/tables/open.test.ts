import t from 'tap'
import { openSources } from '../../src/tables/open.js'
import { accountOf, writeCf } from '../fixtures/cf.js'
import { freshFolder, removeFolder } from '../fixtures/guard.js'
import { startBed, untilSessions } from '../mysql/bed.js'
import { serverSettings } from '../fixtures/server_settings.js'

const settings = serverSettings()

t.test('idle_interval of a .cf file: its unused connection is closed after that time', async t => {
  const mariadb = await startBed(t)
  const folder = freshFolder()
  t.teardown(() => removeFolder(folder))
  const path = writeCf(
    folder, 'alias',
    { ...accountOf(mariadb), query: 'SELECT goto FROM alias WHERE address = \'%s\'', idle_interval: '1' },
  )
  const source = { kind: 'cf', paths: [path] } as const
  const opened = openSources([{ name: 'alias', source, changes: null, smtputf8: true }], settings, () => undefined)
  t.teardown(() => opened.sources.close())
  const map = opened.sources.of('alias')
  if (map.kind !== 'mysql') throw new Error('not MySQL')
  t.match(
    await map.tables[0]?.source.ask('info@example.com', 10_000),
    { outcome: { kind: 'found', value: 'box@example.net' } },
  )
  t.equal(opened.sources.status()[0]?.connections, 1)
  await untilSessions(mariadb, sessions => sessions.length === 0)
  t.equal(opened.sources.status()[0]?.connections, 0)
})

t.test('a `changes` query that says nowhere where the time goes is a problem, with its place', async t => {
  for (const query of ['SELECT a FROM t', 'SELECT a FROM t WHERE m > \'%d\'']) {
    const folder = freshFolder()
    t.teardown(() => removeFolder(folder))
    const path = writeCf(folder, 'alias', { hosts: 'unix:/run/none', user: 'u', dbname: 'd', query: 'SELECT 1' })
    const changes = { query, place: 'holdfast.yaml:7' }
    const source = { kind: 'cf', paths: [path] } as const
    const opened = openSources([{ name: 'alias', source, changes, smtputf8: true }], settings, () => undefined)
    const problem = { place: 'holdfast.yaml:7', text: /^changes: has no place for the time; write one, such as / }
    t.match(opened.faults.get('alias'), [problem])
    t.notOk(opened.sources.has('alias'))
    opened.sources.close()
  }
})
