import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/load.js'
import type { Loaded } from '../../src/config/load.js'
import { freshFolder } from '../fixtures/guard.js'

const load = (listener: string): Loaded => {
  const file = join(freshFolder(), 'c.yaml')
  writeFileSync(file, `listen:\n  - ${listener}\nmaps:\n  m:\n    search: exact\n    text: t\n`)
  return loadConfig(file, {})
}
const problemOf = (loaded: Loaded): string => loaded.ok ? '' : loaded.problems.map(({ text }) => text).join('\n')

for (const host of ['0.0.0.0', '[::]', '192.0.2.1', 'mail.example.com']) {
  t.test(`a listener on ${host} must say who may connect`, async t => {
    t.match(problemOf(load(`socketmap: inet:${host}:10001`)), /allow: \[192\.0\.2\.0\/24\]/)
    t.equal(problemOf(load(`{socketmap: "inet:${host}:10001", allow: [192.0.2.0/24]}`)), '')
  })
}

for (const host of ['127.0.0.1', '127.9.9.9', '[::1]', 'localhost']) {
  t.test(`a listener on ${host} needs no \`allow\`: only this machine can connect`, async t => {
    t.equal(problemOf(load(`socketmap: inet:${host}:10001`)), '')
  })
}

for (const network of ['192.0.2.0/33', '192.0.2/24', 'example.com', '2001:db8::/129', '192.0.2.0/', '']) {
  t.test(`'${network}' is no network`, async t => {
    t.notOk(load(`{socketmap: "inet:0.0.0.0:10001", allow: ["${network}"]}`).ok)
  })
}

t.test('the networks of `allow` and this machine may connect, and nobody else', async t => {
  const loaded = load('{socketmap: "inet:0.0.0.0:10001", allow: [192.0.2.0/24, "2001:db8::/32", 198.51.100.7]}')
  const allowed = loaded.ok ? loaded.config.listeners[0]?.allowed : null
  t.same(['192.0.2.9', '198.51.100.7', '127.0.0.1', '198.51.100.8', '10.0.0.1'].map(address => allowed?.check(address, 'ipv4')), [true, true, true, false, false])
  t.same(['2001:db8::1', '::1', '2001:db9::1'].map(address => allowed?.check(address, 'ipv6')), [true, true, false])
})

t.test('`allow` on a unix socket is refused: it has a mode and a group', async t => {
  t.match(problemOf(load('{socketmap: unix:/run/x, allow: [192.0.2.0/24]}')), /allow: is set for a unix socket; goes with TCP/)
})
