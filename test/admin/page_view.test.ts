/**
 * The status page in Chromium, with ten maps: well, and in six kinds of trouble; on a phone and on a screen, light and
 * dark. HOLDFAST_SCREENSHOTS=FOLDER keeps what it looks like.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { readPage } from '../../src/admin/http.js'
import type { HistoryStep } from '../../src/admin/history.js'
import type { MapStatus, Status } from '../../src/admin/status.js'
import { summarize } from '../../src/admin/summary.js'
import { keepScreenshot, startBrowser } from '../fixtures/browser.js'
import { wellStatus } from '../fixtures/status.js'

const now = Date.now()
const { servers: [server], maps: [map], redis, answers: [tally] } = wellStatus()
if (server === undefined || map?.cached == null || redis === null || tally === undefined) throw new Error('no fixture')
const { cached } = map
const names = [
  'virtual_alias', 'virtual_mailbox', 'virtual_domain', 'relay_domain', 'relay_recipient', 'transport',
  'sender_access', 'sender_bcc', 'recipient_bcc', 'sender_login',
]
const copies = map.copies.map(copy => ({ ...copy, rows: 1_240, takenAt: now - 800_000 }))
const maps: readonly MapStatus[] = names.map(name => ({ ...map, name, copies, warm: null }))
const changed = (index: number, change: Partial<typeof cached>, more: Partial<MapStatus> = {}): readonly MapStatus[] =>
  maps.map((each, i) => i === index ? { ...each, cached: { ...cached, ...change }, ...more } : each)
const noCopy = [{ rows: 0, bytes: 0, takenAt: null, problem: 'it makes one row of several' }]
const nothing = { found: 0, foundBytes: 0, absent: 0 }

const down: Partial<Status> = {
  servers: [{ ...server, state: 'open', since: now - 600_000, lastError: 'connection refused at 10.0.0.5' }],
}
const doubt = { table: 0, server: 'db1#1', cause: 'shrunk', since: now - 700_000, known: 250, missing: 240 } as const
const trouble = { reason: 'query-error', detail: 'no such table', since: now - 900_000, lastAt: now } as const

const longName = (number: number): string => `mx-${number}.frankfurt.mail.example-hosting.com`
const unseen = {
  name: 'mx5', role: 'primary' as const, version: '', state: 'unseen' as const, since: null, doubts: [], redis: '', servers: [],
}
const nodes = [1, 2, 3, 4, 9].map(number => ({
  name: longName(number), role: number === 9 ? 'fallback' as const : 'primary' as const, version: '0.2.0',
  state: number === 3 ? 'gone' as const : number === 4 ? 'degraded' as const : 'well' as const, since: now - number * 50_000_000,
  doubts: number === 4 ? names.slice(0, 4) : [], redis: 'ready',
  servers: [{ server: 'db1.frankfurt.mail.example-hosting.com:3306', state: number === 4 ? 'open' as const : 'closed' as const }],
}))
const manyNodes: Partial<Status> = { fleet: {
  nodes: [...nodes, unseen], definitions: 2, readAt: now - 5_000, problem: '', findings: [{
    kind: 'definitions', text: `map virtual_alias: nodes have different definitions: ${nodes.slice(0, 4).map(({ name }) => name).join(', ')} / ${longName(9)}`,
  }],
} }

/** The status, its headline, and the dot of the first map. */
const cases: Readonly<Record<string, readonly [changes: Partial<Status>, headline: RegExp, dot: string]>> = {
  'well': [{}, /^Mail is safe\. All is well\.$/, 'dot '],
  'fleet': [manyNodes, /^Mail is safe\. All is well\.$/, 'dot '],
  'outage': [down, /^Existing recipients are accepted\. Unknown ones are deferred/, 'dot degraded'],
  'no-copy': [{ ...down, maps: changed(0, {}, { copies: noCopy }) }, /never seen in map virtual_alias/, 'dot degraded'],
  'doubt': [{ maps: changed(0, { doubts: [doubt] }) }, /^Known recipients are accepted/, 'dot degraded'],
  'query-error': [{ maps: changed(0, { trouble }) }, /^Existing recipients are accepted/, 'dot degraded'],
  'redis-down': [{ redis: { ...redis, state: 'down', since: now - 300_000 } }, /^Mail is accepted\. One part is degraded/, 'dot '],
  'deferring': [
    { ...down, redis: null, maps: changed(0, { memory: nothing }, { copies: noCopy }) }, /^Mail is deferred/, 'dot bad',
  ],
}

/** An hour of lookups; three maps have none. */
const historyOf = (isDegraded: boolean): Readonly<Record<string, readonly HistoryStep[]>> =>
  Object.fromEntries(names.map((name, index) => [name, Array.from({ length: 60 }, (_, minute) => {
    const lookups = index >= 7 ? 0 : Math.round((300 + 50 * (minute * 7 % 11)) / (index + 1))
    const isLate = isDegraded && minute >= 50
    const [stale, unavailable] = isLate ? [Math.round(lookups * 0.3), Math.round(lookups * 0.05)] : [0, 0]
    return { at: now - (59 - minute) * 60_000, lookups, hits: Math.round(lookups * 0.8), stale, unavailable }
  })]))

const reportOf = (changes: Partial<Status>): string => {
  const status = wellStatus({
    now, startedAt: now - 90_000_000, configuredAt: now - 90_000_000, maps,
    servers: [{ ...server, since: now - 90_000_000 }], redis: { ...redis, since: now - 90_000_000 }, ...changes,
  })
  const history = historyOf(summarize(status).state !== 'well' && changes.redis?.state !== 'down')
  const events = [{ at: now - 600_000, level: 'warn', text: 'mysql db:3306: fails: connection refused; other servers and the caches answer; what they don\'t know is deferred' }]
  return JSON.stringify({ summary: summarize(status), ...status, history, events })
}

t.test('the page says first what is wrong, has dots that follow it, and fits on three screens of a phone', {
  timeout: 120_000,
}, async t => {
  const { html, policy } = readPage()
  let report = ''
  const http = createServer((request, reply) => {
    reply.setHeader('content-security-policy', policy)
    reply.setHeader('content-type', request.url === '/' ? 'text/html' : 'application/json')
    reply.end(request.url === '/' ? html : report)
  })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    http.close()
    http.closeAllConnections()
  })
  const browser = await startBrowser()
  t.teardown(() => browser.close())
  const complaints: string[] = []
  const page = await browser.newPage({ colorScheme: 'light' })
  page.on('console', message => complaints.push(message.text()))
  page.on('pageerror', error => complaints.push(String(error)))
  for (const [name, [changes, headline, dot]] of Object.entries(cases)) {
    report = reportOf(changes)
    await page.goto(`http://127.0.0.1:${(http.address() as AddressInfo).port}/`)
    await page.locator('#parts li').first().waitFor()
    t.match(await page.locator('h1').innerText(), headline, name)
    t.match(await page.title(), /^(⚠ )?mx1\.example\.com \(primary\): /, name)
    t.match(await page.locator('#node').innerText(), 'mx1.example.com, primary')
    t.equal(await page.locator('#maps .card').count(), 7, 'maps without lookups are folded')
    t.equal(await page.locator('#maps .dot').first().getAttribute('class'), dot, name)
    const isDeferring = !['well', 'fleet', 'redis-down'].includes(name)
    t.equal(await page.locator('#maps .facts .fail').count() > 0, isDeferring, `${name}: deferred in colour`)
    if (name === 'fleet') {
      const [gone, out, , never] = await page.locator('#fleet tbody tr').allInnerTexts().then(rows => rows.slice(2))
      t.match(never, /^mx5\s+primary\s+unseen\s+–\s+–\s+–$/)
      t.match(gone, /^mx-3\S+\s+primary\s+gone, .*\s+–\s+–\s+0\.2\.0$/, 'of a node that is gone nothing else is said')
      t.match(out, /degraded, .*\s+does not see db1\S+:3306\s+virtual_alias, virtual_mailbox/)
    }
    if (name === 'outage') {
      // deploy/guides/status-outage.png is this one.
      await page.emulateMedia({ colorScheme: 'light' })
      await page.setViewportSize({ width: 1_040, height: 720 })
      keepScreenshot('status-outage', await page.screenshot())
    }
    for (const [width, height] of [[390, 844], [1_280, 900]] as const) {
      await page.setViewportSize({ width, height })
      const [tall, wide] = await page.evaluate<[number, number]>(
        '[document.documentElement.scrollHeight, document.documentElement.scrollWidth]')
      t.ok(wide <= width, `${name}: nothing is cut off at ${width} px`)
      const cutOff = await page.evaluate<readonly string[]>(
        '[...document.querySelectorAll("td, th, li, li > span")].filter(each => each.offsetWidth > 0 &&'
        + ' each.getBoundingClientRect().right > innerWidth).map(each => each.innerText)')
      t.same(cutOff, [], `${name}: nor scrolled away at ${width} px`)
      const narrow = await page.evaluate<readonly string[]>(
        '[...document.querySelectorAll("#parts li > span")].filter(each => each.innerText !== "" && each.offsetWidth < 60)'
        + '.map(each => each.innerText)')
      t.same(narrow, [], `${name}: no column of single letters at ${width} px`)
      t.ok(width > 390 || tall <= 3 * height, `${name}: ${tall} px are at most three screens of a phone`)
      if (process.env['HOLDFAST_SCREENSHOTS'] === undefined) continue
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        keepScreenshot(`${name}-${width}-${colorScheme}`, await page.screenshot({ fullPage: true }))
      }
    }
  }
  t.strictSame(complaints, [])
})
