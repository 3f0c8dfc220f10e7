/**
 * The recipients of the drill's mail, of four kinds, and the tables that say which
 * exist. Half of them are aliases in a virtual alias domain, half relay recipients.
 */

/**
 * known: asked for all the time. rare: one of many, asked for once now and then.
 * new: inserted during the run and asked for once, never before. unknown: never
 * in any table.
 */
export const kinds = ['known', 'rare', 'new', 'unknown'] as const
export type Kind = typeof kinds[number]

const aliasDomain = 'v.example'
const relayDomain = 'relay.example'

/** Even numbers are aliases, odd ones relay recipients. */
const address = (kind: Kind, number: number): string => `${kind}${number}@${number % 2 === 0 ? aliasDomain : relayDomain}`

const knownCount = 24
const rareCount = 200

const addressesOf = (kind: Kind, count: number): readonly string[] => Array.from({ length: count }, (_, number) => address(kind, number))

export const known = addressesOf('known', knownCount)
export const rare = addressesOf('rare', rareCount)

/** SQL that lets these addresses exist. An alias leads to a known relay recipient. */
export const insertSql = (addresses: readonly string[]): string => {
  const aliases = addresses.filter(each => each.endsWith(`@${aliasDomain}`)).map(each => `('${each}', '${address('known', 1)}')`)
  const recipients = addresses.filter(each => each.endsWith(`@${relayDomain}`)).map(each => `('${each}')`)
  return [
    ...aliases.length === 0 ? [] : [`INSERT INTO alias VALUES ${aliases.join(', ')};`],
    ...recipients.length === 0 ? [] : [`INSERT INTO relay_recipient VALUES ${recipients.join(', ')};`],
  ].join('\n')
}

/** The tables, empty. */
export const schemaSql = `
  CREATE TABLE alias (address VARCHAR(255) PRIMARY KEY, goto TEXT);
  CREATE TABLE virtual_domain (domain VARCHAR(255) PRIMARY KEY);
  CREATE TABLE relay_domain (domain VARCHAR(255) PRIMARY KEY);
  CREATE TABLE relay_recipient (address VARCHAR(255) PRIMARY KEY);
  CREATE TABLE transport (pattern VARCHAR(255) PRIMARY KEY, nexthop VARCHAR(255));
  CREATE TABLE access (pattern VARCHAR(255) PRIMARY KEY, action VARCHAR(255));
  INSERT INTO access VALUES ('192.0.2.1', 'REJECT');
  CREATE TABLE relayhost (sender VARCHAR(255) PRIMARY KEY, nexthop VARCHAR(255));
  INSERT INTO relayhost VALUES ('known1@${relayDomain}', '[127.0.0.1]');
  CREATE TABLE bcc (address VARCHAR(255) PRIMARY KEY, copy_to VARCHAR(255));
  INSERT INTO bcc VALUES ('archive@${relayDomain}', 'known1@${relayDomain}');
  CREATE TABLE tls_policy (destination VARCHAR(255) PRIMARY KEY, policy VARCHAR(255));
`

/** The tables with all known and rare recipients, whose mail goes to a port of 127.0.0.1. */
export const setupSql = (nextHopPort: number): string => `
  ${schemaSql}
  INSERT INTO virtual_domain VALUES ('${aliasDomain}');
  INSERT INTO relay_domain VALUES ('${relayDomain}');
  INSERT INTO transport VALUES ('${relayDomain}', 'smtp:[127.0.0.1]:${nextHopPort}'), ('*', ':');
  INSERT INTO tls_policy VALUES ('[127.0.0.1]:${nextHopPort}', 'may');
  ${insertSql([...known, ...rare])}
`

/** Gives out recipients of each kind. Each Postfix has an instance of its own, so that all get the same. */
export class Recipients {
  #next: Record<Kind, number> = { known: 0, rare: 0, new: 0, unknown: 0 }
  #newUntil = 0

  /** Makes so many new recipients, for `insertSql`, and drops those that earlier calls made and nobody took. */
  renew(count: number): readonly string[] {
    const from = this.#newUntil
    this.#next.new = from
    this.#newUntil += count
    return addressesOf('new', this.#newUntil).slice(from)
  }

  /** The next recipient of a kind; undefined if there is no new one left. */
  next(kind: Kind): string | undefined {
    const number = this.#next[kind]++
    switch (kind) {
      case 'known': return known[number % known.length]
      case 'rare': return rare[number % rare.length]
      case 'new': return number < this.#newUntil ? address(kind, number) : undefined
      case 'unknown': return address(kind, number)
      default: return kind satisfies never
    }
  }
}
