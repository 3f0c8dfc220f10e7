/** The manual's pages, judged by mandoc, and how the program prints them. */
import { join } from 'node:path'
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { smallExample } from '../../deploy/pages/config_page.js'
import { readExplanations } from '../../deploy/pages/explanations.js'
import { pages } from '../../deploy/pages/pages.js'
import { loadConfig, problemsOf } from '../../src/config/load.js'
import { schema } from '../../src/config/schema.js'
import { packageFile } from '../../src/runtime/package.js'
import { run } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'

const holdfast = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await run(process.execPath, [mainFile, ...args])
  if (code !== 0) throw new Error(`holdfast ${args.join(' ')}: ${stderr}`)
  return stdout
}

const made = pages(new Date(1_700_000_000_000))

/** What lint says of the manual pages that are installed here. */
const ofThisMachine = /^mandoc: .*(?:referenced manual not found|outdated mandoc\.db).*\n/gm

/** The page as text, and what mandoc finds wrong with it. */
const formatted = async (page: string): Promise<{ text: string, faults: string }> => {
  const file = join(freshFolder(), page)
  writeFileSync(file, made.get(page) ?? '')
  const lint = await run('mandoc', ['-T', 'lint', '-W', 'style', file])
  const { stdout } = await run('mandoc', ['-T', 'ascii', '-O', 'width=500', file])
  // Bold is a letter, a step back, and the letter again.
  return { text: stdout.replaceAll(/.\x08/g, ''), faults: `${lint.stdout}${lint.stderr}`.replaceAll(ofThisMachine, '') }
}

t.test('holdfast(8) has every command, with its options and an example', async t => {
  const { text, faults } = await formatted('holdfast.8')
  t.equal(faults, '')
  t.match(text, 'November 14, 2023')
  const [help = '', examples = ''] = (await holdfast('--help')).split('\nExamples:\n')
  const commands = [...help.matchAll(/^ {2}([a-z]+) .*\S/gm)].flatMap(([, name]) => name === undefined || name === 'help' ? [] : [name])
  t.ok(commands.includes('serve') && commands.includes('flush'), commands.join(' '))
  const shown = [...examples.matchAll(/^ {2}holdfast ([a-z]+)/gm)].map(([, name = '']) => name)
  t.ok(shown.length > 0)
  t.same(shown.filter(name => name !== 'help' && !commands.includes(name)), [], 'the first examples are of commands that there are')
  const sections = new Map(commands.map(command => [command, new RegExp(`^ {5}${command}\\b[^]*?(?=^ {5}\\w|^\\w)`, 'm').exec(text.slice(text.indexOf('\nCOMMANDS\n')))?.[0] ?? '']))
  // The page takes its examples from the help.
  for (const [command, own] of sections) t.match(own, new RegExp(`^ {19}.*\\b(?:holdfast ${command}|${command} holdfast)\\b`, 'm'), `the help of ${command} has an example`)
  for (const command of ['adopt', 'flush']) {
    const own = await holdfast(command, '--help')
    t.match(own, `\nExample:\n  holdfast ${command} `)
    for (const [option] of own.matchAll(/(?<=^ {2})--[a-z-]+/gm)) t.match(sections.get(command), new RegExp(`^ +${option}\\b`, 'm'), `${command} ${option}`)
  }
})

t.test('holdfast.yaml(5) has every parameter of the schema, with its description', async t => {
  const { text, faults } = await formatted('holdfast.yaml.5')
  t.equal(faults, '')
  const schema = JSON.parse(await holdfast('schema')) as Record<string, unknown>
  const seen: string[] = []
  const look = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return
    for (const [key, inner] of Object.entries(part)) {
      if (key !== 'properties') {
        look(inner)
        continue
      }
      for (const [name, parameter] of Object.entries(inner as Record<string, { description?: string }>)) {
        seen.push(name)
        t.match(text, new RegExp(`^ +${name}(:|$)`, 'm'), name)
        t.match(text.replaceAll(/\s+/g, ' '), (parameter.description ?? 'none').replaceAll('`', '').replaceAll(/\s+/g, ' '), name)
        look(parameter)
      }
    }
  }
  look(schema)
  t.ok(seen.includes('tls_verify_cert') && seen.includes('command_timeout'))
  t.match(text, /^ +Example:\n+ +stale_for: 14d$/m)
})

t.test('the page\'s example is a whole configuration, for a primary and for a fallback', async t => {
  const { text } = await formatted('holdfast.yaml.5')
  for (const line of smallExample.trimEnd().split('\n')) t.match(text, line)
  const folder = freshFolder()
  // The account's group and password are those of this machine.
  writeFileSync(join(folder, 'password'), 'secret\n')
  const here = smallExample.replace('group: postfix', 'group: root').replace('/etc/holdfast/mysql.password', 'password')
  for (const [node, role] of [['mx2.example.com', 'primary'], ['mx9.example.com', 'fallback']] as const) {
    writeFileSync(join(folder, 'c.yaml'), `${here}node: ${node}\n`)
    const loaded = loadConfig(join(folder, 'c.yaml'), {})
    t.match(loaded, { ok: true, config: { node: { role } } }, JSON.stringify(loaded.ok ? [] : loaded.problems))
    if (loaded.ok) t.same(problemsOf(loaded.config.faults), [])
  }
})

t.test('the example of each parameter is one that the schema accepts', async t => {
  const file = new URL('../../../deploy/pages/examples.yaml', import.meta.url)
  t.match(schema.safeParse(parse(readFileSync(file, 'utf8'))), { success: true })
})

t.test('holdfast(8) has each message, each cause of a doubt and each reason, with what to do', async t => {
  const { text } = await formatted('holdfast.8')
  const { messages, causes, reasons } = readExplanations()
  const terms = [...messages, ...causes, ...reasons].flatMap(({ texts }) => texts)
  for (const term of terms) t.ok(text.includes(`\n     ${term.replaceAll('`', '').replaceAll('…', '...')}\n`), term)
  t.match(text, /^ {5}redis: ready\n\n {5}redis: takes writes again\n {13}Redis works\.$/m)
  t.match(text, /^ {13}MySQL can't be reached\. +Remedy: its last error is in holdfast status\.$/m)
})

t.test('holdfast(8) has the limits of README.md as its bugs', async t => {
  const { text } = await formatted('holdfast.8')
  const [, limits = ''] = readFileSync(packageFile('README.md'), 'utf8').split('\n## Limits\n')
  const begins = [...(limits.split('\n## ', 1)[0] ?? '').matchAll(/^- (\S+ \S+ \S+)/gm)].map(([, words = '']) => words)
  t.ok(begins.length > 4)
  const bugs = text.slice(text.indexOf('\nBUGS\n'))
  for (const words of begins) t.ok(bugs.includes(`\n     ${words.replaceAll('`', '')}`), words)
})

t.test('the program prints the files of the build', async t => {
  const text = (page: string): string => (made.get(page) ?? 'none').replace(/^\.Dd .*$/m, '')
  for (const [args, file] of [
    [['manual'], 'holdfast.8'], [['manual', 'holdfast.yaml'], 'holdfast.yaml.5'], [['schema'], 'holdfast.schema.json'],
    [['completion', 'bash'], 'holdfast.bash'], [['completion', 'zsh'], '_holdfast'], [['completion', 'fish'], 'holdfast.fish'],
  ] as const) t.equal((await holdfast(...args)).replace(/^\.Dd .*$/m, ''), text(file), args.join(' '))
})

t.test('an unknown page is refused, with the names of the pages', async t => {
  const { code, stderr } = await run(process.execPath, [mainFile, 'manual', 'nothing'])
  t.equal(code, 1)
  t.match(stderr, /choices are holdfast, holdfast.yaml/i)
})
