/**
 * The quick start under the Node that the Debian packages have inside, as under the one that runs the tests.
 *
 * 1. The daemon serves deploy/quickstart, on addresses of the test's own.
 * 2. One question by raw bytes, one by `holdfast query`: both are answered.
 * 3. SIGTERM ends it with exit code 0.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { run } from '../fixtures/child.js'
import { mainFile, startHoldfast } from '../fixtures/daemon.js'
import { newestNode } from '../fixtures/newest_node.js'
import { freePort } from '../fixtures/port.js'
import { socketmapAsk } from '../fixtures/wire.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const quickstart = join(root, 'deploy/quickstart')

/** The quick start's configuration with addresses of our own and its tables where they are. */
const config = (dir: string, healthPort: number): string => {
  const yaml = parse(readFileSync(join(quickstart, 'holdfast.yaml'), 'utf8')) as { maps: Record<string, { text: string }> }
  const maps = Object.fromEntries(Object.entries(yaml.maps).map(([name, map]) => [name, { ...map, text: join(quickstart, map.text) }]))
  return JSON.stringify({ ...yaml, maps, listen: [{ socketmap: `unix:${dir}/s` }], health: `127.0.0.1:${healthPort}` })
}

for (const node of [process.execPath, await newestNode()]) {
  t.test(`the quick start answers under ${node}`, async t => {
    const healthPort = await freePort()
    const holdfast = await startHoldfast(dir => config(dir, healthPort), { node })
    const path = `${holdfast.dir}/s`
    t.equal(await socketmapAsk(path, 'virtual_alias', 'Postmaster@example.com'), 'OK ann@example.net')
    t.equal(await socketmapAsk(path, 'virtual_alias', 'stranger@nowhere.example'), 'NOTFOUND ')
    const query = await run(node, [mainFile, 'query', '--at', `unix:${path}`, 'virtual_alias', 'postmaster@example.com'])
    t.match(query, { code: 0, stdout: 'ann@example.net\n', stderr: '' })
    t.equal((await fetch(`http://127.0.0.1:${healthPort}/readyz`)).status, 200)
    t.match(await holdfast.stop(), { code: 0 })
  })
}
