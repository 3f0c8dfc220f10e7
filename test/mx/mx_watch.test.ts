/** When the MX records of all domains are checked, and what the log says of it; with a name server. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { NodeConfig, Role } from '../../src/config/config.js'
import { loadConfig } from '../../src/config/load.js'
import { openMapSources } from '../../src/daemon/open_sources.js'
import { createLog } from '../../src/log.js'
import { MxWatch, rolesOf } from '../../src/mx/mx_watch.js'
import { fakeClock } from '../fixtures/clock.js'
import { freshFolder } from '../fixtures/guard.js'
import { startZone } from '../fixtures/zone.js'

const hourMs = 3_600_000

t.test('Holdfast checks domains every mx_every, hourly while some are wrong, and logs each finding once', async t => {
  let isMended = false
  const zone = await startZone(name => ({
    'mx1.example': { a: ['192.0.2.1'] }, 'mx9.example': { a: ['192.0.2.9'] },
    'a.example': { mx: ['10 mx1.example', '90 mx9.example'] },
    'b.example': { mx: isMended ? ['10 mx1.example', '90 mx9.example'] : ['10 mx1.example'] },
  })[name])
  t.teardown(() => zone.stop())
  const folder = freshFolder()
  writeFileSync(join(folder, 'domains'), 'a.example x\nb.example x\n')
  writeFileSync(join(folder, 'c.yaml'), JSON.stringify({
    listen: [{ socketmap: `unix:${folder}/s` }], maps: { relay: { search: 'domain', text: 'domains' } },
    role: { 'mx1.example': 'primary', 'mx9.example': 'fallback' }, node: 'mx1.example',
    mx_every: '1d', mx_resolver: zone.address,
  }))
  const loaded = loadConfig(join(folder, 'c.yaml'), {})
  if (!loaded.ok) throw new Error(loaded.problems[0]?.text)
  const lines: string[] = []
  const log = createLog({ level: 'info', format: 'text', journal: false }, line => { lines.push(line) }, () => 0)
  const { sources } = openMapSources(loaded.config, log)
  t.teardown(() => sources.close())
  const clock = fakeClock()
  const watch = new MxWatch({
    served: () => ({ config: loaded.config, sources, maps: new Map(), copies: { of: () => [], held: () => null } }),
    fleet: () => [], clock, log,
  })
  t.teardown(() => watch.close())
  /** So much later, once a check that is due has been made. */
  const after = async (ms: number): Promise<{ asked: number, right: number | undefined }> => {
    const before = zone.questions()
    await clock.advance(ms)
    // While it checks, it looks at no clock.
    while (clock.timers() === 0) await sleep(10)
    return { asked: zone.questions() - before, right: watch.status?.domains.right }
  }
  t.match(await after(10_000), { right: 1 })
  t.equal((await after(hourMs - 10_000)).asked, 0)
  t.notMatch(await after(10_000), { asked: 0 })
  isMended = true
  t.match(await after(hourMs), { right: 2 })
  t.equal((await after(23 * hourMs)).asked, 0)
  isMended = false
  t.match(await after(hourMs), { right: 1 })
  t.same(lines.map(line => /mx: \d of \d/.exec(line)?.[0]), ['mx: 1 of 2', 'mx: 2 of 2', 'mx: 1 of 2'])
})

t.test('a file that names the fallback alone makes no primary a stranger to the other primaries', async t => {
  const node = (name: string, role: Role, roles: Readonly<Record<string, Role>>): NodeConfig =>
    ({ name, role, why: '', roles: new Map(Object.entries(roles)), others: 'primary' })
  const fallback = { mx9: 'fallback' } as const
  const known = (...given: Parameters<typeof rolesOf>): string =>
    [...rolesOf(...given)].map(([name, role]) => `${name} ${role}`).sort().join(', ')
  t.equal(known(node('mx1', 'primary', fallback), []), 'mx9 fallback')
  t.equal(known(node('mx1', 'primary', {}), []), '')
  t.equal(known(node('mx9', 'fallback', fallback), []), 'mx9 fallback')
  t.equal(known(node('mx9', 'fallback', {}), []), 'mx9 fallback')
  t.equal(known(node('mx2', 'primary', { ...fallback, mx1: 'primary' }), []), 'mx1 primary, mx2 primary, mx9 fallback')
  const fleet = [{ name: 'mx1', role: 'primary' }, { name: 'mx2', role: 'primary' }] as const
  t.equal(known(node('mx1', 'primary', fallback), fleet), 'mx1 primary, mx2 primary, mx9 fallback')
})
