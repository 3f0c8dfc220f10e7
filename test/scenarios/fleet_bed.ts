/** What the tests of several nodes share: daemons on one database and one Redis, and what they report. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Report } from '../../src/admin/summary.js'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import type { Holdfast } from '../fixtures/daemon.js'
import { tableConfig, tableSql } from '../fixtures/mail.js'
import type { Mariadb } from '../fixtures/mariadb.js'
import { freePort } from '../fixtures/port.js'

export const roles = { default: 'primary', 'mx9.example': 'fallback' }
const alias = { alias: { search: 'virtual' } }

type Node = { readonly holdfast: Holdfast, readonly url: string, readonly config: string }

export const startNode = async (
  t: Test, name: string, mariadb: Mariadb, more: Readonly<Record<string, unknown>>,
  maps: Parameters<typeof tableConfig>[2] = alias,
): Promise<Node> => {
  const port = await freePort()
  const holdfast = await startHoldfast(dir => tableConfig(dir, mariadb, maps, {
    role: roles, node: name, health: `127.0.0.1:${port}`, admin: `unix:${dir}/admin`,
    // As adopt writes it: the names of this host.
    local_domains: [name, 'localhost'], ...more,
  }))
  t.teardown(() => holdfast.kill())
  return { holdfast, url: `http://127.0.0.1:${port}`, config: join(holdfast.dir, 'holdfast.yaml') }
}

export const holdfast = (node: Node, ...args: readonly string[]) =>
  run(process.execPath, [mainFile, ...args, '--config', node.config])

/** The node's report, once it is as wanted. */
export const reported = async ({ url }: Node, is: (report: Report) => boolean): Promise<Report> => {
  for (;;) {
    const report = await (await fetch(`${url}/status`)).json() as Report
    if (is(report)) return report
    await sleep(200)
  }
}

export const arePresent = (count: number) => ({ fleet }: Report): boolean =>
  fleet?.nodes.filter(({ state }) => state === 'well').length === count

export const rows = (domain: string): string => tableSql(
  Array.from({ length: 12 }, (_, index) => `('user${index}@${domain}', 'box${index}@x.example')`).join(', '))
