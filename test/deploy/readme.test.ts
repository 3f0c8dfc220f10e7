/** What README, CONTRIBUTING and the guides tell people to type: it exists. scenarios/readme.test.ts runs the README. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createProgram } from '../../src/cli/program.js'
import { schema } from '../../src/config/schema.js'
import { absenceEffects, searches } from '../../src/postfix/parameters.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const guides = readdirSync(join(root, 'deploy/guides')).filter(name => name.endsWith('.md')).map(name => `deploy/guides/${name}`)
const pages = ['README.md', '.github/CONTRIBUTING.md', ...guides]
const readPage = (page: string): string => readFileSync(join(root, page), 'utf8')
const scripts = (JSON.parse(readPage('package.json')) as { readonly scripts: Readonly<Record<string, string>> }).scripts

for (const page of pages) {
  const text = readPage(page)

  t.test(`${page}: each link leads to a file, and to a heading of it`, async t => {
    for (const [, target = '', anchor] of text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)) {
      const file = target === '' ? page : join(dirname(page), target)
      t.ok(existsSync(join(root, file)), target)
      if (anchor === undefined) continue
      const headings = [...readPage(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading)
      // As GitHub makes them.
      const anchors = headings.map(heading => heading.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
      t.ok(anchors.includes(anchor), `${file}#${anchor}`)
    }
  })

  t.test(`${page}: each npm script exists`, async t => {
    for (const [command, name = ''] of text.matchAll(/npm (?:run )?(?!ci\b)([a-z]+)/g)) t.ok(name in scripts, command)
  })

  t.test(`${page}: each command of holdfast exists, with its options`, async t => {
    const { commands } = createProgram(process)
    const lines = [...text.matchAll(/(?:^ *|[`(;&] ?|npx )holdfast ([a-z]+)([^\n`#;&]*)/gm)]
    for (const [line, name = '', rest = ''] of lines) {
      const command = commands.find(each => each.name() === name)
      if (!t.ok(command, line)) continue
      for (const [option] of rest.matchAll(/--[a-z-]+/g)) t.ok(command?.options.some(({ long }) => long === option), line)
    }
  })
}

t.test('guides: each parameter that is written as one exists', async t => {
  const map = schema.shape.maps.valueType.shape
  const known = new Set([...Object.keys(schema.shape), ...Object.keys(map)])
  for (const page of guides) {
    for (const [, name = ''] of readPage(page).matchAll(/`([a-z]+_[a-z_]+):/g)) t.ok(known.has(name), `${page}: ${name}`)
  }
})

t.test('the guide to migrating explains each search, and that to outages each effect of an absence', async t => {
  for (const search of searches) t.match(readPage('deploy/guides/migrate.md'), `| \`${search}\` |`)
  for (const effect of absenceEffects) t.match(readPage('deploy/guides/outages.md'), `| \`${effect}\` |`)
})
