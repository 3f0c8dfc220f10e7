import t from 'tap'
import type { Config } from '../../src/config/config.js'
import { openFilesLimit, clientLimits } from '../../src/daemon/endpoints.js'

/** What clientLimits reads of a configuration with this many listeners. */
const config = (listeners: number): Config => ({
  file: { max_connections: 4_000, connections: 8 }, health: {}, admin: null,
  listeners: Array.from({ length: listeners }, () => ({})),
}) as unknown as Config

t.test('clients, HTTP, MySQL and everything else fit into the limit of open files, whatever it is', async t => {
  for (const limit of [64, 96, 256, 1_024, 4_096, 65_536, Infinity]) {
    for (const listeners of [1, 2, 5]) {
      for (const servers of [0, 1, 4]) {
        const { clients, turnedAway, http } = clientLimits(config(listeners), servers, limit)
        const most = listeners * (clients + turnedAway) + http + servers * 8
        if (most > limit && clients > 2) t.fail(`${most} of ${limit}: ${listeners} listeners, ${servers} servers`)
        t.ok(clients >= 1 && clients <= 4_000)
      }
    }
  }
})

t.test('Holdfast lowers max_connections to the limit of open files, and logs what it keeps for other uses', async t => {
  t.match(clientLimits(config(2), 2, 65_536), { clients: 4_000, turnedAway: 64, http: 64, kept: null })
  t.match(clientLimits(config(1), 1, 96), { clients: 21, turnedAway: 7, http: 12, kept: 68 })
  t.match(clientLimits(config(1), 1, 1_024), { clients: 840, kept: 120 })
})

t.test('the limit of this process is read', async t => {
  t.ok(openFilesLimit() >= 64)
})
