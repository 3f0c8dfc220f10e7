/** `holdfast check --outage`: what it says of maps in general is what lookups get. */
import t from 'tap'
import { ofKnownKey, ofUnseenKey } from '../../src/admin/outage_verdict.js'
import { statement } from '../../src/caches/entry.js'
import { MapCopies } from '../../src/caches/map_copies.js'
import { Memory } from '../../src/caches/memory.js'
import { askedOfSenders, outageLines } from '../../src/check/outage_mail.js'
import { answerInOutage } from '../../src/lookup/answers.js'
import { Known } from '../../src/lookup/known.js'
import { compileSearch, Walk } from '../../src/lookup/search.js'
import { byteString, found } from '../../src/outcome.js'
import { absenceEffects } from '../../src/postfix/parameters.js'
import type { Postconf } from '../../src/postfix/postconf.js'
import { systemClock } from '../../src/runtime/clock.js'
import { copyOf } from '../lookup/stage.js'

const plan = compileSearch('exact', {
  recipientDelimiter: '', parentDomainMatchesSubdomains: new Set(), propagateUnmatchedExtensions: new Set(),
  localDomains: new Set(),
})
const noCopy = 'the table has no copy'

t.test('a key that is known, or was never seen, gets in an outage what the verdict on its map says', async t => {
  for (const does of absenceEffects) {
    for (const inOutage of ['pass', 'pass-strangers', 'defer'] as const) {
      for (const isOurs of [true, false]) {
        for (const isCopied of [true, false]) {
          for (const staleForMs of [0, 60_000]) {
            const absence = { does, inOutage, isBelievedAtOnce: false }
            const known = new Known({
              identity: { name: 'm', definition: '0123456789abcdef' }, plan, absence, confirmForMs: 1,
              lifetimes: { freshForMs: 0, staleForMs, absentForMs: 0 },
            }, {
              memory: new Memory({ entries: 9, bytes: 9_999, absentEntries: 9 }), redis: null, copies: new MapCopies(1), clock: systemClock,
              isKnownElsewhere: () => false, isKnownAsOurs: () => isOurs, random: () => 0.5,
            })
            // The table has our keys, and lacks those of strangers.
            if (isCopied) known.copies.put(0, copyOf(isOurs ? { k: 'x' } : {}, Date.now()))
            const facts = { absence, staleForMs, whyNoCopy: isCopied ? '' : noCopy }
            const isAnswered = (): boolean => answerInOutage(known, new Walk(plan, 'k'), Date.now()) !== null
            const title = JSON.stringify({ does, inOutage, isOurs, isCopied, staleForMs })
            t.equal(ofUnseenKey(facts, isOurs).passes, isAnswered(), title)
            if (!isOurs) continue
            known.put('k', known.entryOf(statement(found(byteString('x')), Date.now()), true, Date.now()))
            t.equal(ofKnownKey(facts).passes, isAnswered(), `known: ${title}`)
          }
        }
      }
    }
  }
})

t.test('each kind of mail is deferred by the maps that it asks, and by no others', async t => {
  const stop = (name: string, asks: 'recipient' | 'domain' | 'sender' | 'next hop') =>
    ({ name, places: [name], map: name, asks, stepsOf: null })
  const stops = [stop('r', 'recipient'), stop('d', 'domain'), stop('s', 'sender'), stop('n', 'next hop')]
  const facts = { absence: { does: 'refuses', inOutage: 'defer' }, staleForMs: 1, whyNoCopy: noCopy } as const
  const byMail = (...ofSenders: readonly string[]): readonly (readonly string[])[] =>
    outageLines(stops, () => facts, ofSenders).map(({ obstacles }) => obstacles.map(each => each.charAt(0)))
  t.strictSame(byMail(), [[], ['r'], ['s'], ['n']])
  t.strictSame(byMail('d'), [[], ['r'], ['d', 's'], ['n']], 'the domains of senders are looked up, too')
  t.strictSame(outageLines(stops, () => null, ['d']).flatMap(({ obstacles }) => obstacles), [], 'text tables')
})

t.test('with mydestination in MySQL, cleanup defers new senders that it looks up, and aliases that lead away', t => {
  const stop = { name: 'mydestination', places: ['mydestination'], map: 'd', asks: 'domain', stepsOf: null } as const
  const facts = { absence: { does: 'refuses', inOutage: 'defer' }, staleForMs: 1, whyNoCopy: '' } as const
  const deferred = (main: Readonly<Record<string, string>>, overrides: Postconf['overrides'] = []): readonly string[] => {
    const service = (command: string) => ({ name: `${command}/unix`, chroot: 'n', command, entry: '' })
    const ofSenders = askedOfSenders({
      configDir: '', inMainCf: new Set<string>(), services: [service('cleanup')], overrides, written: new Map<string, string>(),
      expanded: new Map(Object.entries({ mydestination: 'socketmap:unix:s:d', ...main })),
    })
    return outageLines([stop], () => facts, ofSenders).filter(({ obstacles }) => obstacles.length > 0).map(({ mail }) => mail)
  }
  const away = 'to aliases that lead to other domains'
  t.strictSame(deferred({}), [away])
  for (const name of ['canonical_maps', 'sender_canonical_maps', 'sender_bcc_maps']) {
    t.strictSame(deferred({ [name]: 'hash:/x' }), ['from senders and clients never seen', away], name)
  }
  t.strictSame(deferred({}, [{ service: 'cleanup/unix', parameter: 'sender_bcc_maps', value: 'hash:/x' }]).length, 2)
  t.end()
})

t.test('who is no alias is deferred in domains whose recipients no map has, though the aliases have a copy', t => {
  const stop = (name: string, map = 'm') => ({ name, places: [name], map, asks: 'target' as const, stepsOf: null })
  const noAlias = (does: 'refuses' | 'reroutes', ...names: readonly string[]): readonly string[] => {
    const facts = { absence: { does, inOutage: 'defer' }, staleForMs: 1, whyNoCopy: '' } as const
    const lines = outageLines([stop('virtual_alias_maps', 'alias'), ...names.map(name => stop(name))], () => facts, [])
    return lines.find(({ mail }) => mail === 'to known recipients that are no alias')?.obstacles ?? []
  }
  t.strictSame(noAlias('refuses', 'virtual_mailbox_domains'), [
    'virtual_alias_maps, map alias: no map has the recipients of virtual_mailbox_domains, so any may be an alias that is '
    + 'new: have them in virtual_mailbox_maps',
  ])
  t.match(noAlias('refuses', 'virtual_mailbox_domains', 'virtual_mailbox_maps', 'relay_domains'), [/relay_domains.*relay_recipient_maps/])
  t.strictSame(noAlias('refuses', 'virtual_mailbox_domains', 'virtual_mailbox_maps'), [])
  t.strictSame(noAlias('refuses', 'virtual_alias_domains'), [])
  t.strictSame(noAlias('reroutes', 'virtual_mailbox_domains'), [])
  t.end()
})
