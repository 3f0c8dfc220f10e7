/** Random names, addresses, keys and values, as odd as they are in mail; a seed makes the same ones each time. */

/** Random choices; the same seed makes the same ones (mulberry32). */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** A number from 0 to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  is(probability: number): boolean {
    return this.next() < probability
  }

  below(count: number): number {
    return Math.floor(this.next() * count)
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  /** Some of the items, in random order. */
  sample<T>(items: readonly T[], count: number): T[] {
    const left = [...items]
    return Array.from({ length: Math.min(count, items.length) }, () => left.splice(this.below(left.length), 1)).flat()
  }
}

export const plainDomains = [
  'mx.test.example', 'test.example', 'loc.example', 'va.example', 'va2.example', 'vm.example', 'sub.vm.example',
  'rel.example', 'sub.rel.example', 'deep.sub.rel.example', 'out.example', 'x.out.example', 'bad.example', 'localhost',
] as const
export const wideDomains = ['müller.example', 'xn--mller-kva.example', 'MÜLLER.example', 'straße.example'] as const

export const localparts = [
  'u1', 'u2', 'u3', 'info', 'list', 'postmaster', 'owner-list', 'list-request', 'u1+x', 'u2+y', 'u1-x', 'u1+x-y',
  'u1-x+y', 'u1+', 'u1-', '+x', '-u1', 'abuse', 'double-bounce', 'mailer-daemon', 'a b', 'a"b', 'a b+x', '.dot',
  'do..t',
  'u3+', 'u3++', 'u3+x+y', 'owner-u1', 'owner-u1+x', 'info+postmaster', 'a@b', 'u1%out.example', 'out.example!u1',
  'quo\\te', 'ü1', 'ü1+x', 'Ü1', 'MAILER-DAEMON', 'postmaster+x', 'a,b', '(c)', 'u3=b', 'request-request', '-request',
  '1', '127.0.0.1', 'a;b:c', '<x>', '__none__', 'none',
] as const
export const simpleLocalparts = localparts.slice(0, 12)

/** Quotes `localpart` where RFC 822 requires it. */
export const quoted = (localpart: string): string => {
  const isDotString = localpart !== '' && !/[\x00-\x20\x7f()<>@,;:\\"[\]]/.test(localpart)
    && !localpart.startsWith('.') && !localpart.endsWith('.') && !localpart.includes('..')
  return isDotString ? localpart : `"${localpart.replace(/["\\\r]/g, '\\$&')}"`
}

/** The words of one scenario. */
export class Words {
  readonly #chance: Chance
  readonly domains: readonly string[]
  readonly #localparts: readonly string[]
  readonly #isExotic: boolean
  /** Postfix' recipient_delimiter. */
  delimiters = ''

  constructor(chance: Chance, isAscii: boolean) {
    this.#chance = chance
    this.#isExotic = chance.is(0.3)
    this.domains = [...plainDomains, ...chance.is(0.6) && !isAscii ? wideDomains : []]
    const all = isAscii ? localparts.filter(localpart => /^[\x00-\x7f]*$/.test(localpart)) : localparts
    this.#localparts = [...chance.sample(all, chance.pick([8, 14, 22])), 'u1', 'u2', 'info']
  }

  localpart(): string {
    return this.#chance.pick(this.#chance.is(0.75) ? this.#localparts : simpleLocalparts)
  }

  domain(): string {
    return this.#chance.pick(this.domains)
  }

  /** Sometimes turns some letters into capitals. */
  mixCase(text: string): string {
    if (!this.#chance.is(0.25)) return text
    return Array.from(text).map(letter => this.#chance.is(0.4) ? letter.toUpperCase() : letter).join('')
  }

  #withoutExtension(localpart: string): string {
    const cuts = Array.from(this.delimiters).map(delimiter => localpart.indexOf(delimiter)).filter(at => at > 0)
    return cuts.length === 0 ? localpart : localpart.slice(0, Math.min(...cuts))
  }

  /** A key for a table of addresses. */
  addressKey(): string {
    const localpart = this.localpart().toLowerCase()
    const domain = this.domain().toLowerCase()
    const bare = this.#withoutExtension(localpart)
    const kinds: readonly (readonly [number, () => string])[] = [
      [35, () => `${quoted(localpart)}@${domain}`], [15, () => `${quoted(bare)}@${domain}`], [12, () => `@${domain}`],
      [10, () => quoted(localpart)], [6, () => quoted(bare)], [4, () => `${localpart}@${domain}`], [4, () => domain],
      [3, () => `.${domain}`], [4, () => `${quoted(localpart)}@`], [2, () => domain.replace(/^[^.]*\./, '')],
      [2, () => this.#chance.pick(['*', '<>', '', '@', 'MAILER-DAEMON'])], [3, () => `${bare}@${domain}`],
    ]
    const key = this.#weighted(kinds)
    return this.#chance.is(0.03) ? this.mixCase(key) : key
  }

  domainKey(): string {
    const domain = this.domain().toLowerCase()
    const parent = domain.replace(/^[^.]*\./, '')
    return this.#weighted([
      [60, () => domain], [15, () => `.${domain}`], [15, () => parent],
      [10, () => this.#chance.pick([`.${parent}`, '*', 'example', '.example', '[127.0.0.1]', `@${domain}`])],
    ])
  }

  #weighted(kinds: readonly (readonly [weight: number, make: () => string])[]): string {
    let at = this.#chance.next() * kinds.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, make] of kinds) {
      at -= weight
      if (at < 0) return make()
    }
    return ''
  }

  /** An address for a value. */
  address(): string {
    let localpart = this.localpart()
    if (!this.#isExotic && ['<x>', '(c)'].includes(localpart)) localpart = 'u1'
    const domain = this.domain()
    const full = `${quoted(localpart)}@${domain}`
    const plain: readonly (readonly [number, () => string])[] = [
      [62, () => full], [10, () => quoted(localpart)], [8, () => `@${domain}`],
    ]
    const odd: readonly (readonly [number, () => string])[] = [
      [4, () => `${quoted(this.#withoutExtension(localpart))}@${domain}`], [2, () => `${localpart}@${domain} `],
      [2, () => `<${full}>`], [2, () => `Name <${full}>`], [2, () => `${localpart} (comment)@${domain}`],
      [1, () => `@va.example:${full}`], [1, () => `${localpart}%${domain}`], [1, () => `${domain}!${localpart}`],
      [1, () => `${quoted(localpart)}@[127.0.0.1]`], [1, () => `group: ${full}, u1@out.example;`],
      [1, () => this.#chance.pick(
        ['', '  ', ',', '@', 'postmaster', '|cmd', '/file', ':include:/x', 'a@', '""@x.example', '..', '<>'],
      )],
      [1, () => `${full}.`], [1, () => this.mixCase(full)], [1, () => `"Name, Other" <${full}> (c)`],
      [1, () => `${quoted(localpart)} @ ${domain}`],
    ]
    return this.#weighted(this.#isExotic ? [...plain, ...odd] : plain)
  }

  addresses(): string {
    const count = this.#chance.pick([1, 1, 1, 1, 2, 3])
    const separator = this.#chance.pick([', ', ',', ' , ', ...this.#isExotic ? [' '] : []])
    const all = Array.from({ length: count }, () => this.address())
    return all.filter((address, index) => index === 0 || this.#isExotic || !address.startsWith('@')).join(separator)
  }

  route(): string {
    const host = ['', 'h1.example', '[h2]:25', '127.0.0.1', '[127.0.0.1]']
    return this.#weighted([
      [50, () => `${this.#chance.pick(
        ['t1', 't2', 'gsm', 'lm', 'relay', 'local', 'virtual'],
      )}:${this.#chance.pick(host)}`],
      [10, () => `:${this.#chance.pick(['', 'h9.example', '[h8]'])}`],
      [6, () => this.#chance.pick(
        ['error:no such user', 'error:5.7.1 go away', 'retry:4.7.1 later', 'discard:', 'error:', 'error'],
      )],
      [6, () => this.#chance.pick(['t1', 't1:h1:26', 'user@x', 'bogus:', '', 'smtp', 't1: h1'])],
      [28, () => 't1:'],
    ])
  }

  action(): string {
    return this.#chance.pick([
      'OK', 'OK', 'OK', 'OK', 'DUNNO', 'DUNNO', 'REJECT', 'REJECT no way', 'reject no', 'dunno', '450 4.7.1 later',
      '554 gone', '550 5.7.1 bad', 'PREPEND X-A: b', 'REDIRECT u1@vm.example', 'FILTER t2:flt', 'DISCARD', 'WARN it',
      'INFO x', 'class1', 'class2', 'permit', '1', '0', 'DEFER', 'DEFER_IF_PERMIT a', 'DEFER_IF_REJECT b',
      'BCC u3@out.example', 'reject_unauth_destination', 'bogus_action x', 'OK text', 'REDIRECT nobody', '123',
      '',
    ])
  }

  login(): string {
    return this.#chance.pick(['u1', 'u2', 'u1,u2', 'u1 u2', 'U1', 'u1, U2', 'u3', '', 'u1@vm.example'])
  }

  /** A value of smtp_tls_policy_maps. None of the servers in a scenario supports TLS. */
  tlsPolicy(): string {
    return this.#chance.pick(['none', 'may', 'encrypt', 'secure match=h1.example', 'fingerprint', 'bogus', 'may ciphers=high'])
  }

  /** A value of smtp_sasl_password_maps. */
  credential(): string {
    return this.#chance.pick(['u1:secret', 'u2:secret', 'u3:', 'u1', 'u1@vm.example:a:b', 'U2:se cret'])
  }

  /** A next hop as smtp(8) and lmtp(8) look it up. */
  nextHop(): string {
    return this.#weighted([
      [60, () => this.domainKey()], [20, () => '[127.0.0.1]'],
      [20, () => this.#chance.pick(['127.0.0.1', '[h2]:25', 'h1.example', '.h1.example', '[127.0.0.1]:25'])],
    ])
  }

  clientKey(): string {
    return this.#chance.pick([
      '192.0.2.77', '192.0.2', '192.0', '192', '198.51.100', 'client.out.example', 'out.example', '.out.example',
      'bad.example', '.bad.example', 'example', '.example', 'unknown', '2001:db8', '2001:db8::1', '2001:db8:', '2001',
      '127.0.0.1', '127.0.0', 'localhost', '198.51.100.77',
    ])
  }

  heloKey(): string {
    return this.#chance.pick([
      'helo.example', '.helo.example', 'example', '.example', 'sub.helo.example', '.sub.helo.example', '[192.0.2.1]',
      '192.0.2.1', '192.0.2', '0.2.1', '.2.1', 'localhost', 'mx.test.example',
    ])
  }

  serverKey(): string {
    return this.#chance.pick([
      'mx.out.example', '.out.example', 'out.example', 'mx.evil.example', 'evil.example', '.evil.example', '192.0.2.10',
      '192.0.2', '198.51.100', '198.51.100.5', 'ns.evil.example', 'ns.out.example', '192.0.2.53', '127.0.0.1',
      'mx.test.example', 'test.example', '192.0.2.80', '198.51.100.80', 'ns.root.example', 'root.example', '203.0.113',
    ])
  }

  /** What stands between <> in RCPT TO; `rows` are keys of the tables. */
  recipient(rows: readonly string[]): string {
    const localpart = this.localpart()
    const domain = this.domain()
    const full = `${quoted(localpart)}@${domain}`
    const ofRow = (): string => {
      const key = this.mixCase(rows.length === 0 ? localpart : this.#chance.pick(rows))
      return `${key.startsWith('@') ? quoted(localpart) : ''}${key}${key.endsWith('@') ? domain : ''}`
    }
    return this.#weighted([
      [70, () => this.mixCase(full)], [8, () => quoted(localpart)], [3, () => `${localpart}@${domain}`],
      [2, () => `${quoted(localpart)}@[127.0.0.1]`], [2, () => `@va.example,@x.example:${full}`],
      [2, () => `${quoted(`${localpart}%${this.domain()}`)}@${domain}`],
      [1, () => `${this.domain()}!${localpart}@${domain}`],
      [1, () => `"${localpart}"@${domain}`], [1, () => `"${full.replaceAll('"', '')}"@${domain}`],
      [1, () => this.#chance.pick(['', 'postmaster', '@', '@va.example', '""@vm.example', 'a@', '.', '""'])],
      [1, () => `${localpart}@${domain}.`], [1, () => `${localpart}@sub.${domain}`],
      [1, () => `${quoted(localpart)}@[${this.#chance.pick(['192.0.2.9', 'ipv6:::1', 'IPv6:0:0:0:0:0:0:0:1'])}]`],
      [1, () => `\\${localpart}@${domain}`], [5, ofRow],
    ])
  }
}
