/**
 * Makes what ships, dist/holdfast, after tsc: the program with the modules that it
 * takes, in a few files, since a start spends most of its time on finding, reading
 * and compiling the hundreds of files that they come in; and the manual pages,
 * completion scripts and JSON Schema. Names and lines stay as they are, so that a
 * person can read the stack trace of a bug.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { pages } from '../dist/deploy/pages/pages.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'dist/holdfast')

const { metafile, outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts'],
  outdir: folder, entryNames: '[name]',
  bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20.19',
  // CommonJS modules call `require` for Node's own modules.
  banner: {
    js: 'import { createRequire as makeRequire } from \'node:module\'\n'
      + 'const require = makeRequire(import.meta.url)',
  },
  metafile: true, write: false, logLevel: 'warning',
})

/** The licenses of the modules in it, which have to go with every copy. */
const licenses = () => {
  const folders = new Set(Object.keys(metafile.inputs)
    .flatMap(path => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []))
  return [...folders].sort().map(module => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, module, 'package.json'), 'utf8'))
    const files = readdirSync(join(root, module)).filter(file => /^(licen[cs]e|notice|copying)/i.test(file))
    const texts = files.map(file => readFileSync(join(root, module, file), 'utf8').trim())
    return [`${name} ${version}: ${license}`, ...texts].join('\n\n')
  }).join(`\n\n${'-'.repeat(72)}\n\n`)
}

/**
 * The date of the pages, so that the same source gives the same files: SOURCE_DATE_EPOCH (reproducible-builds.org),
 * else that of the last commit.
 */
const sourceDate = () => {
  let seconds = process.env.SOURCE_DATE_EPOCH
  try {
    seconds ??= execFileSync('git', ['log', '-1', '--format=%ct'], {
      cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch {
    // No git, or no clone.
  }
  return seconds === undefined ? new Date() : new Date(Number(seconds) * 1_000)
}

const made = outputFiles.map(({ path, contents }) => [basename(path), contents])
// The program last: once it is there, so are all the files that it names.
const files = new Map([
  ['LICENSES', `${licenses()}\n`], ...pages(sourceDate()),
  ...made.filter(([name]) => name !== 'main.js'), ...made.filter(([name]) => name === 'main.js'),
])

// A daemon that runs may still read its own files meanwhile: replace each in one step.
mkdirSync(folder, { recursive: true })
for (const [name, contents] of files) {
  const draft = join(folder, `.${name}.${process.pid}`)
  writeFileSync(draft, contents, { mode: name === 'main.js' ? 0o755 : 0o644 })
  renameSync(draft, join(folder, name))
}
// Another build may be under way: leave its drafts alone.
for (const name of readdirSync(folder)) if (!files.has(name) && !name.startsWith('.')) rmSync(join(folder, name))
