/**
 * Takes the code of one rule after the other out (cuts.ts) and runs the tests that must fail then. Exits with 1 if
 * nothing failed for one of them. `node dist/test/property/without_rules.js [RULE...]`. The sources stay as they are:
 * the bundler gets the changed text.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { cuts } from './cuts.js'
import type { Cut } from './cuts.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const histories = 'test/property/invariant.test.ts'

/** Runs the test without that code; resolves with the titles of the tests that failed. */
const failuresWithout = async ({ rule, file, from, to, test = histories }: Cut): Promise<readonly string[]> => {
  const path = join(root, file)
  const source = readFileSync(path, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`${file} does not have this once: ${from}`)
  const outfile = join(root, 'dist', test.replace(/\.ts$/, '.without.mjs'))
  await build({
    entryPoints: [join(root, test)], outfile, bundle: true, platform: 'node', format: 'esm', packages: 'external',
    plugins: [{
      name: 'without',
      setup: bundler => bundler.onLoad({ filter: /\.ts$/ }, ({ path: loaded }) =>
        loaded === path ? { contents: source.replace(from, () => to), loader: 'ts' } : undefined),
    }],
  })
  // The random histories would take long, and the written ones of the rule are enough to fail.
  const env = { ...process.env, TAP_TIMEOUT: '600', HOLDFAST_SEQUENCES: '0', HOLDFAST_RULE: `rule ${rule}:` }
  const { stdout } = spawnSync(process.execPath, [outfile], { encoding: 'utf8', env, maxBuffer: Infinity })
  rmSync(outfile)
  return [...stdout.matchAll(/^ *not ok \d+ - (.*?)(?: # time.*)?$/gm)].map(([, title = '']) => title)
}

const wanted = process.argv.slice(2).map(Number)
for (const cut of cuts.filter(({ rule }) => wanted.length === 0 || wanted.includes(rule))) {
  const titles = await failuresWithout(cut)
  if (titles.length === 0) process.exitCode = 1
  const failed = titles.length === 0 ? ['NOTHING FAILS'] : titles.filter(title => !title.startsWith('seed '))
  console.log(`rule ${cut.rule}, without ${cut.what}: ${failed.join('; ')} (${cut.test ?? histories})`)
}
