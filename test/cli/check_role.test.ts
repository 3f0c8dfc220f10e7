/** One file for all nodes: `holdfast check` says which role a node takes by it, and why. */
import { writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'

const check = async (node: Readonly<Record<string, unknown>>): Promise<string> => {
  const dir = freshFolder()
  writeFileSync(join(dir, 'domains'), 'a.example x\n')
  writeFileSync(join(dir, 'c.yaml'), JSON.stringify({
    listen: [{ socketmap: `unix:${dir}/s` }], maps: { relay: { search: 'domain', text: 'domains' } }, ...node,
  }))
  const { stdout } = await run(process.execPath, [mainFile, 'check', join(dir, 'c.yaml')])
  return stdout
}

t.test('check says which role this node takes by a file for all nodes, and why', async t => {
  const role = { default: 'primary', 'mx9.example.com': 'fallback' }
  for (const [node, text] of [
    [{ role, node: 'mx9.example.com' }, 'role fallback: `role:` has this node, mx9.example.com'],
    [{ role, node: 'mx9' }, 'role fallback: `role:` has this node, mx9.example.com'],
    [{ role, node: 'mx1.example.com' }, 'role primary: `role:` doesn\'t name this node, mx1.example.com: the default'],
    [{ role: { default: 'fallback' } }, `role fallback: \`role:\` doesn't name this node, ${hostname().toLowerCase()}: the default`],
  ] as const) {
    t.match(await check(node), new RegExp(`^note: .*: ${text}\n`))
  }
  t.notMatch(await check({ role: 'fallback' }), 'role', 'a file for this node alone says it itself')
})
