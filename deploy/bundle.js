/**
 * Makes what ships, dist/holdfast: the program with the modules that it takes, in
 * a few files. To find, read and compile the hundreds that they come in is most of
 * what a start takes. Pieces that not each start needs stay files of their own.
 * Names and lines stay as they are, so that the trace of a bug can be read.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'dist/holdfast')

const { metafile, outputFiles } = await build({
  absWorkingDir: root,
  // The program, and what it starts as processes of their own, which are looked for beside it.
  entryPoints: ['src/main.ts', 'src/warm/loader.ts'],
  outdir: folder, entryNames: '[name]',
  bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20.19',
  // For CommonJS modules that ask for Node's own.
  banner: { js: 'import { createRequire as makeRequire } from \'node:module\'\nconst require = makeRequire(import.meta.url)' },
  metafile: true, write: false, logLevel: 'warning',
})

/** The licenses of the modules that are in it: they have to go with copies. */
const licenses = () => {
  const folders = new Set(Object.keys(metafile.inputs).flatMap(path => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []))
  return [...folders].sort().map(module => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, module, 'package.json'), 'utf8'))
    const files = readdirSync(join(root, module)).filter(file => /^(licen[cs]e|notice|copying)/i.test(file))
    const texts = files.map(file => readFileSync(join(root, module, file), 'utf8').trim())
    return [`${name} ${version}: ${license}`, ...texts].join('\n\n')
  }).join(`\n\n${'-'.repeat(72)}\n\n`)
}

const made = outputFiles.map(({ path, contents }) => [basename(path), contents])
// The program last: once it is there, so is all that it names.
const files = new Map([['LICENSES', `${licenses()}\n`], ...made.filter(([name]) => name !== 'main.js'), ...made.filter(([name]) => name === 'main.js')])

// A daemon that was started before may still read its own pieces while these come.
mkdirSync(folder, { recursive: true })
for (const [name, contents] of files) {
  const draft = join(folder, `.${name}.${process.pid}`)
  writeFileSync(draft, contents, { mode: name === 'main.js' ? 0o755 : 0o644 })
  renameSync(draft, join(folder, name))
}
// Drafts are of whoever makes the same at the same time.
for (const name of readdirSync(folder)) if (!files.has(name) && !name.startsWith('.')) rmSync(join(folder, name))
