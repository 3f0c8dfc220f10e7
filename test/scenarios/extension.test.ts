/**
 * The values of search.ts against the real thing: who gets the mail.
 *
 * 1. Random rows for virtual_alias_maps, canonical_maps and smtp_generic_maps: with and without
 *    extension, by localpart, catch-alls, values of every plain shape.
 * 2. Two services of one private Postfix, of cleanup or of smtp. To one the rows are a table
 *    that it asks for every key, as it asks mysql: (unionmap takes its manners
 *    from the first member). To the other they are a socketmap that is asked
 *    once, does the steps and completes the value.
 * 3. A message to all recipients through each, which cleanup keeps on hold and
 *    smtp hands to a server; the envelope has to be the same, recipient by
 *    recipient, with propagate_unmatched_extensions and without.
 *
 * HOLDFAST_TEST_SEED repeats a run.
 */
import t from 'tap'
import { byteString, readable } from '../../src/outcome.js'
import { compileSearch, completeValue } from '../../src/lookup/search.js'
import { fold } from '../../src/postfix/fold.js'
import { run } from '../fixtures/child.js'
import { during } from '../fixtures/during.js'
import { freePort } from '../fixtures/port.js'
import { startPostfix, type Postfix } from '../fixtures/postfix.js'
import { smtpSession, startSmtpSink, type SmtpSink } from '../fixtures/smtp.js'
import { startSocketmap } from '../fixtures/socketmap.js'

const seed = Number(process.env['HOLDFAST_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

// mulberry32
let state = seed
const random = (): number => {
  state = (state + 0x6d2b79f5) | 0
  let x = Math.imul(state ^ (state >>> 15), 1 | state)
  x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
  return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
}
const pick = <T>(choices: readonly [T, ...T[]]): T => choices[Math.floor(random() * choices.length)] ?? choices[0]

const kinds = ['virtual', 'canonical', 'generic'] as const
type Kind = (typeof kinds)[number]

const casesPerKind = 200

type Case = { readonly recipient: string, readonly rows: ReadonlyMap<string, string> }

const value = (kind: Kind): string => {
  const localparts = [
    'box', 'box+own', "o'neil", 'dotted.name', '"a b"', '"a, \\"b"', '"needless"', 'boîte', 'a.b.c', '=x', 'user%x', 'a|b',
  ] as const
  const domains = ['@b.example', '@b.example', '@B.Example', '@[192.0.2.9]', '@bücher.example'] as const
  const element = (): string => pick<string>(localparts) + pick<string>(domains)
  const unqualified = (): string => pick<string>(['box', 'box+own', '"a b"', 'boîte'])
  const odd = (): string => pick<(address: string) => string>([
    address => `<${address}>`, address => `Name <${address}>`, address => `"Name, Other" <${address}> (c)`,
    address => `@a.example:${address}`, address => `${address}.`, address => `${address} (comment)`, () => 'box%b.example',
    () => 'b.example!box', () => 'a!b.example!box', address => `group: ${address}, other@b.example;`,
    address => address.replace('@', ' (c) @ '), () => '"a".b@b.example',
  ])(element())
  const single = pick<() => string>([element, element, element, odd, unqualified, () => '@other.example'])()
  if (kind !== 'virtual' || single.startsWith('@') || random() < 0.5) return single
  return [single, pick([element, odd])(), pick([element, unqualified])()].slice(0, pick<number>([2, 3])).join(pick<string>([',', ', ', ' ', '\n', ' , ']))
}

const makeCase = (kind: Kind, number: number): Case => {
  const domain = pick<string>([`d${number}.example`, `d${number}.example`, 'local.example'])
  const user = `${pick<string>(['user', 'First.Last', 'a b', 'say "hi"', 'ünï', "o'brien"])}${number}`
  const extension = pick<string>(['+tag', '+TaG', '+', '+a+b', '+a b', '+é', '+x.', '+a@b', ''])
  const quoted = (localpart: string): string =>
    /[ "@]|\.$/.test(localpart) ? `"${localpart.replace(/["\\]/g, '\\$&')}"` : localpart
  const rows = new Map<string, string>()
  const add = (probability: number, key: string): void => {
    if (random() < probability) rows.set(fold(key), value(kind))
  }
  add(0.1, `${quoted(user + extension)}@${domain}`)
  add(0.6, `${quoted(user)}@${domain}`)
  if (domain === 'local.example') {
    add(0.2, quoted(user + extension))
    add(0.6, quoted(user))
  } else {
    add(0.6, `@${domain}`)
  }
  return { recipient: `${quoted(user + extension)}@${domain}`, rows }
}

/** Sends a message to all recipients and resolves with its queue id. */
const send = async (postfix: Postfix, port: number, recipients: readonly string[]): Promise<string> => {
  const session = await smtpSession(port)
  await session.command('MAIL FROM:<> SMTPUTF8')
  for (const recipient of recipients) {
    const { code, text } = await session.rcpt(recipient)
    if (code !== 250) throw new Error(`${recipient}: ${code} ${text}`)
  }
  const { text } = await session.data('Subject: x\n')
  await session.quit()
  const id = /queued as (\S+)/.exec(text)?.[1]
  if (id === undefined) throw new Error(`${text}\n${postfix.log()}`)
  return id
}

/** The recipients that cleanup makes of each. */
const envelope = async (postfix: Postfix, port: number, recipients: readonly string[]): Promise<Map<string, string[]>> => {
  const id = await send(postfix, port, recipients)
  const { stdout } = await run('postcat', ['-c', postfix.configDir, '-e', '-q', id])
  const made = new Map<string, string[]>()
  let original = ''
  for (const line of stdout.split('\n')) {
    const [, record, address = ''] = /^(original_recipient|recipient): (.*)$/.exec(line) ?? []
    if (record === 'original_recipient') original = address
    if (record === 'recipient') made.set(original, [...made.get(original) ?? [], address])
  }
  return made
}

/** The recipients that smtp makes of each: the queue manager hands all of them over at once, in an order of its own. */
const delivered = async (postfix: Postfix, port: number, recipients: readonly string[], sink: SmtpSink): Promise<Map<string, string[]>> => {
  const id = await send(postfix, port, recipients)
  const [{ recipients: made }] = await Promise.all([sink.next(), postfix.logged(new RegExp(`${id}: removed`))])
  const order = [...postfix.log().matchAll(new RegExp(`${id}: to=<(.*?)>, relay`, 'g'))].map(match => match[1] ?? '')
  return new Map(order.map((original, at) => [original, [made[at] ?? '']]))
}

t.test(`cleanup and smtp make the same recipients of one answer as of all the rows (seed ${seed})`, async t => {
  const cases = { virtual: [] as Case[], canonical: [] as Case[], generic: [] as Case[] }
  const rows = new Map<string, string>()
  for (const kind of kinds) {
    for (let number = 0; number < casesPerKind; number++) {
      const made = makeCase(kind, number)
      cases[kind].push(made)
      for (const [key, value] of made.rows) rows.set(`${kind} ${key}`, value)
    }
  }

  const plan = (kind: Kind, propagates: boolean) => compileSearch(kind, {
    recipientDelimiter: '+',
    parentDomainMatchesSubdomains: new Set(),
    propagateUnmatchedExtensions: new Set(propagates ? kinds : []),
    localDomains: new Set(['local.example', 'origin.example']),
  })
  const socketmap = await during(t, startSocketmap(({ map, key }) => {
    const [kind, manner, propagate] = map.split('-') as [Kind, string, string]
    if (manner === 'rows') return rows.get(`${kind} ${key}`)
    for (const step of plan(kind, propagate === 'propagate').steps(fold(key), key)) {
      const value = rows.get(`${kind} ${step.key}`)
      if (value !== undefined) return readable(completeValue(step, byteString(value)))
    }
    return undefined
  }))
  const sink = await during(t, startSmtpSink())

  const services = await Promise.all(kinds.flatMap(kind => [true, false].flatMap(propagate =>
    (['rows', 'steps'] as const).map(async manner => ({
      kind, propagate, manner, name: `${kind}-${manner}-${propagate ? 'propagate' : 'drop'}`, port: await freePort(),
    })))))
  const postfix = await during(t, startPostfix({
    mainCf: {
      recipient_delimiter: '+',
      mydestination: 'local.example',
      myorigin: 'origin.example',
      smtpd_relay_restrictions: 'permit_mynetworks, reject_unauth_destination',
      default_destination_recipient_limit: '0',
      smtpd_recipient_restrictions: 'check_recipient_access static:HOLD',
    },
    masterCf: services.map(({ kind, propagate, manner, name, port }) => {
      const table = `socketmap:unix:${socketmap.path}:${name}`
      const parameter = { virtual: 'virtual_alias_maps', canonical: 'canonical_maps', generic: 'smtp_generic_maps' }[kind]
      const [service, wayThere] = kind === 'generic'
        ? ['unix - - n - 1 smtp', `{ smtpd_recipient_restrictions = check_recipient_access static:{FILTER ${name}:[${sink.host}]:${sink.port}} }`]
        : ['unix n - n - 0 cleanup', `cleanup_service_name=${name}`]
      return `127.0.0.1:${port} inet n - n - - smtpd -o ${wayThere}\n`
        + `${name} ${service} -o propagate_unmatched_extensions=${propagate ? kinds.join(',') : ''}\n`
        + `  -o { ${parameter} = ${manner === 'steps' ? table : `unionmap:{internal:none,${table}}`} }\n`
    }).join(''),
  }))

  const made = new Map<string, ReadonlyMap<string, readonly string[]>>()
  for (const { kind, name, port } of services) {
    const recipients = cases[kind].map(({ recipient }) => recipient)
    made.set(name, await (kind === 'generic' ? delivered(postfix, port, recipients, sink) : envelope(postfix, port, recipients)))
  }
  for (const kind of kinds) {
    for (const propagation of ['propagate', 'drop']) {
      const [rowsMade, stepsMade] = [made.get(`${kind}-rows-${propagation}`), made.get(`${kind}-steps-${propagation}`)]
      t.ok(rowsMade !== undefined && rowsMade.size > casesPerKind / 2, `${kind}, ${propagation}: recipients were made`)
      for (const [original, recipients] of rowsMade ?? []) {
        t.strictSame(stepsMade?.get(original), recipients, `${kind}, ${propagation}: ${original}`)
      }
      t.equal(stepsMade?.size, rowsMade?.size, `${kind}, ${propagation}: no recipient beside these`)
    }
  }
})
