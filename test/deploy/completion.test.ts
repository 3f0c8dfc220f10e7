/** The completion in real shells: bash and zsh on a terminal, with the Tab key; fish prints what it would offer. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../fixtures/child.js'
import { mainFile } from '../fixtures/daemon.js'
import { freshFolder } from '../fixtures/guard.js'

/** A folder with a configuration, and the program in `bin`. */
const bed = (): string => {
  const dir = freshFolder()
  writeFileSync(join(dir, 'a'), 'key value\n')
  // A name may hold what a shell would run.
  writeFileSync(join(dir, 'own.yaml'), 'listen:\n  - socketmap: unix:/run/s\nhealth: off\nmaps:\n  virtual_alias: {search: virtual, text: a}\n  zz$(touch${IFS}ran): {search: exact, text: a}\n')
  mkdirSync(join(dir, 'bin'))
  writeFileSync(join(dir, 'bin/holdfast'), `#!/bin/sh\nexec ${process.execPath} ${mainFile} "$@"\n`, { mode: 0o755 })
  return dir
}

const environment = (dir: string): NodeJS.ProcessEnv => ({ PATH: `${dir}/bin:/usr/bin:/bin`, TERM: 'dumb', HOME: dir, PS1: '> ' })

/** What is typed, and what it becomes. */
const lines = new Map([
  ['holdfast stat\t', 'status'],
  ['holdfast status --wa\t--js\t', 'status --watch --json'],
  ['holdfast query --config ow\tvirt\tkey', 'query --config own.yaml virtual_alias key'],
  ['holdfast explain key --config own.yaml --map v\t', 'explain key --config own.yaml --map virtual_alias'],
  ['holdfast check ow\t', 'check own.yaml'],
  ['holdfast adopt --config-dir b\t', 'adopt --config-dir bin/'],
  ['holdfast manual holdfast.\t', 'manual holdfast.yaml'],
  ['holdfast help fl\t', 'help flush'],
  ['holdfast trust --config own.yaml zz\t', 'trust --config own.yaml zz$(touch${IFS}ran)'],
])

for (const { shell, start, setUp } of [
  { shell: 'bash', start: 'bash --norc --noprofile -i', setUp: 'source <(holdfast completion bash)' },
  // No list of what there is, no bell, and a slash that stays.
  { shell: 'zsh', start: 'zsh -f -i', setUp: 'autoload -U compinit; compinit -u -D; unsetopt beep auto_list auto_remove_slash; source <(holdfast completion zsh)' },
]) {
  t.test(`${shell} completes commands, options, files and the names of the maps, and expands nothing`, async t => {
    const dir = bed()
    const typed = `${setUp}; holdfast() { if [[ $1 == completion ]]; then command holdfast "$@"; else echo "typed: $*."; fi; }\n`
    const { stdout } = await run('script', ['-qec', start, '/dev/null'], {
      cwd: dir, env: environment(dir), stdin: `${typed}${[...lines.keys()].join('\n')}\nexit\n`,
    })
    for (const wanted of lines.values()) t.match(stdout, `typed: ${wanted}.`, wanted)
    t.notOk(existsSync(join(dir, 'ran')))
  })
}

t.test('fish offers commands, options, files and the names of the maps', async t => {
  const dir = bed()
  const wanted = new Map([
    ['holdfast stat', ['status']],
    ['holdfast status --wa', ['--watch']],
    ['holdfast query --config ow', ['own.yaml']],
    ['holdfast query --config own.yaml virt', ['virtual_alias']],
    ['holdfast query --config own.yaml virtual_alias ', []],
    ['holdfast explain key --config own.yaml --map v', ['virtual_alias']],
    ['holdfast check ow', ['own.yaml']],
    ['holdfast adopt --config-dir b', ['bin/']],
    ['holdfast manual holdfast.', ['holdfast.yaml']],
    ['holdfast help fl', ['flush']],
    ['holdfast trust --config own.yaml zz', ['zz$(touch${IFS}ran)']],
  ])
  const { stdout, stderr } = await run('fish', ['--no-config', '-c', 'holdfast completion fish | source; for line in $argv; complete -C "$line"; echo; end', ...wanted.keys()], {
    cwd: dir, env: environment(dir),
  })
  t.equal(stderr, '')
  // Each offer with its description after a tab; an empty line after those for one line.
  const offered = stdout.split(/(?<=^|\n)\n/).map(offers => offers.trim().split('\n').flatMap(offer => offer === '' ? [] : [offer.split('\t', 1)[0]]))
  for (const [index, [line, offers]] of [...wanted].entries()) t.same(offered[index], offers, line)
  t.notOk(existsSync(join(dir, 'ran')))
})
