/**
 * The status page in a browser: all well; MySQL killed; MySQL back; the daemon
 * gone. On a phone and in the dark, too.
 */
import { join } from 'node:path'
import t from 'tap'
import { keepScreenshot, startBrowser } from '../fixtures/browser.js'
import { command } from '../fixtures/control.js'
import { startHoldfast } from '../fixtures/daemon.js'
import { during } from '../fixtures/during.js'
import { tableConfig, tableSql } from '../fixtures/mail.js'
import { startMariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'
import { socketmapAsk } from '../fixtures/wire.js'

t.test('the page shows that all is well, which part is degraded, its recovery, and that the daemon is down', { timeout: 110_000 }, async t => {
  const mariadb = await during(t, startMariadb({ sql: tableSql('(\'known\', \'value\')') }))
  const port = await freePort()
  const map = { search: 'exact' }
  const holdfast = await during(t, startHoldfast(dir => tableConfig(dir, mariadb, { virtual_alias: map, relay_recipients: map }, {
    health: `127.0.0.1:${port}`, admin: `unix:${dir}/admin`,
  })), 'kill')
  const ask = (key: string): Promise<string> => socketmapAsk(join(holdfast.dir, 's'), 'virtual_alias', key)
  const browser = await during(t, startBrowser(), 'close')
  const page = await browser.newPage({ viewport: { width: 1_000, height: 1_100 }, colorScheme: 'light' })
  const refused: string[] = []
  page.on('console', message => {
    if (/Content.Security.Policy/i.test(message.text())) refused.push(message.text())
  })

  t.equal(await ask('known'), 'OK value')
  await page.goto(`http://127.0.0.1:${port}/`)
  await page.getByText('Mail is safe. All is well.').waitFor()
  t.equal(await page.locator('#maps svg').count(), 1)
  await page.getByText('1 map without lookups: relay_recipients').waitFor()
  keepScreenshot('well', await page.screenshot())

  // Without a copy of its own, each map would defer more than the page is to say.
  for (const name of ['virtual_alias', 'relay_recipients']) await holdfast.logged(new RegExp(`map ${name}: a copy of its table`))
  await mariadb.kill()
  t.match(await command({ holdfast }, 'flush', 'virtual_alias'), { code: 0 })
  t.equal(await ask('known'), 'OK value')
  for (let count = 0; !holdfast.log().includes(': fails: '); count++) t.match(await ask(`unknown${count}`), /^TEMP /)
  await page.getByText('Existing recipients are accepted.').waitFor()
  await page.locator('#degraded', { hasText: `mysql holdfast@127.0.0.1:${mariadb.port}/mail` }).waitFor()
  await page.locator('#events', { hasText: ': fails: ' }).waitFor()
  t.equal(await page.locator('#maps rect.stale').count(), 1)
  keepScreenshot('outage', await page.screenshot())
  await page.setViewportSize({ width: 390, height: 844 })
  await page.emulateMedia({ colorScheme: 'dark' })
  keepScreenshot('outage-phone-dark', await page.screenshot({ fullPage: true }))
  t.ok(
    await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth'), 'nothing is cut off on a phone',
  )

  await mariadb.start()
  await holdfast.logged(/answers again/)
  await page.getByText('Mail is safe. All is well.').waitFor()
  keepScreenshot('after-phone-dark', await page.screenshot())

  await holdfast.stop()
  await page.getByText('Holdfast does not answer').waitFor()
  keepScreenshot('gone-phone-dark', await page.screenshot())
  t.same(refused, [], 'the policy lets the page do all it needs')
  t.notMatch(await page.content(), />known</)
})
