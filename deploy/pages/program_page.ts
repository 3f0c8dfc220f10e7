/**
 * holdfast(8): commands, options and examples come from the command line's definition, the diagnostics from messages
 * and their explanations, the bugs from README.md; the rest is written here.
 */
import type { Argument, Command, Option } from 'commander'
import type { Explanation, Explanations } from './explanations.js'
import { example, list, page, prose, section, word } from './mdoc.js'

/** What the help calls the value of an option: `FILE` of `--config <FILE>`; undefined for an option without a value. */
export const placeholderOf = ({ flags }: Option): string | undefined => /[<[](.*)[>\]]/.exec(flags)?.[1]

const argumentOf = (argument: Argument): string => {
  const name = word(argument.name())
  return argument.required ? `Ar ${name}` : `Op Ar ${name}`
}

const optionOf = (option: Option): string => {
  const value = placeholderOf(option)
  // .Fl gives the first hyphen.
  return `Fl ${word((option.long ?? option.flags).slice(1))}${value === undefined ? '' : ` Ar ${word(value)}`}`
}

const optionText = ({ description, defaultValue }: Option): string => {
  const hasDefault = defaultValue !== undefined && defaultValue !== false
  return prose(`${description}.${hasDefault ? ` Default: \`${String(defaultValue)}\`.` : ''}`)
}

/** What the command's help says after its options: examples, and sentences. */
const afterHelp = (command: Command): { readonly examples: string, readonly text: string } => {
  let help = ''
  command.configureOutput({ writeOut: text => { help += text } })
  command.outputHelp()
  const match = /\nExamples?:\n((?: {2}.*\n)+)([^]*)$/.exec(help)
  return { examples: (match?.[1] ?? '').replace(/^ {2}/gm, ''), text: (match?.[2] ?? '').trim() }
}

const commandsOf = (program: Command): readonly Command[] =>
  program.createHelp().visibleCommands(program).filter(command => command.name() !== 'help')

const optionsOf = ({ options }: Command): readonly Option[] => options.filter(({ hidden }) => !hidden)

const describe = (command: Command): string => {
  const { examples, text } = afterHelp(command)
  const options = optionsOf(command)
  return [
    prose(`${command.description()}.`),
    ...text === '' ? [] : ['.Pp', prose(text)],
    ...options.length === 0 ? [] : [list(options.map(option => [optionOf(option), optionText(option)]))],
    ...examples === '' ? [] : [example(examples)],
  ].join('\n')
}

const synopsis = (program: Command): string => section('SYNOPSIS', ...commandsOf(program).flatMap(command => [
  '.Nm', `.Cm ${word(command.name())}`, ...optionsOf(command).map(option => `.Op ${optionOf(option)}`),
  ...command.registeredArguments.map(argument => `.${argumentOf(argument)}`),
]))

const commands = (program: Command): string => section('COMMANDS', list(commandsOf(program).map(command => [
  ['Cm', word(command.name()), ...command.registeredArguments.map(argumentOf)].join(' '), describe(command),
])))

const description = section('DESCRIPTION', '.Nm', prose(`
is a local server between Postfix and MySQL.
Postfix asks it by socketmap or tcp tables.
It answers from memory, then from Redis, then from MySQL, within one deadline.
It distinguishes absent (MySQL recently said so) from unknown (MySQL could not be asked).
While MySQL is slow, down or half restored, known recipients are still accepted and the others are deferred:
a recipient that exists is never answered absent.`))

const signals = section('SIGNALS', prose('To `holdfast serve`:'), list([
  ['Dv SIGHUP', prose(`The daemon reads the configuration, its text tables and its certificates again.
Clients stay connected. A map with faults keeps its last good definition.
With a fault outside the maps nothing changes. The log has all faults.`)],
  ['Dv SIGTERM , SIGINT', prose(`The daemon accepts no more clients, answers the requests under way,
writes its snapshot, and exits.`)],
]))

const environment = section('ENVIRONMENT', list([
  ['Ev NOTIFY_SOCKET , WATCHDOG_USEC', prose(`\`serve\` tells the service manager when it is ready, reloads, is alive
and stops.`)],
  ['Ev LISTEN_FDS , LISTEN_PID', prose(`The sockets that the service manager holds.
\`listen\` in the configuration names them too.`)],
  [
    'Ev STATE_DIRECTORY',
    prose('The folder of the snapshot and the copies, unless `snapshot` and `copies` name others.'),
  ],
  ['Ev JOURNAL_STREAM', prose('Log lines begin with the priority that journald reads.')],
  ['Ev NO_COLOR', prose('There are no colours on a terminal.')],
]))

const files = section('FILES', list([
  ['Pa /etc/holdfast/holdfast.yaml', prose('The configuration.')],
  ['Pa /var/spool/postfix/holdfast/holdfast.sock', prose(`The socket for Postfix, in the folder that chrooted
services see.`)],
  ['Pa /run/holdfast/admin.sock', prose(`The socket of \`explain\`, \`flush\`, \`trust\`, \`warm\`, \`forget\`,
\`export\` and \`import\`.`)],
  ['Pa /var/lib/holdfast/snapshot', prose('The cache, kept over a restart.')],
]))

const exitStatus = section('EXIT STATUS', prose('As in'), '.Xr sysexits 3 ,', prose('and:'), list([
  ['0', prose('All is well; `query`: found.')],
  ['1', prose('`query`: absent; `compare`: answers differ; `mx`: a domain is to be mended.')],
  ['64', prose('The command line is wrong.')],
  ['66', prose('A file that the command line names can\'t be read.')],
  ['69', prose('`serve`: it can\'t listen where the configuration says; `adopt`: postconf(1) failed.')],
  ['73', prose('`adopt`: the configuration can\'t be written.')],
  ['75', prose('The daemon, a table or DNS can\'t be asked now; `serve`: a bug ended it, start it again.')],
  ['78', prose('The configuration is wrong.')],
]))

/** Texts, each with what it means and what to do; those with one explanation stand above it together. */
const termsOf = (explanations: readonly Explanation[]): string =>
  list(explanations.flatMap(({ texts, means, remedy }) => {
    const meaning = `${sentence(means)}.${remedy === 'nothing' ? '' : ` Remedy: ${plain(remedy)}.`}`
    return texts.map((text, index) => [
      `Li ${word(text.replaceAll('`', '').replaceAll('…', '...'))}`, index < texts.length - 1 ? '' : prose(meaning),
    ] as const)
  }))

const sentence = (text: string): string => plain(text).replace(/^[a-z]/, letter => letter.toUpperCase())

/** Text of a guide without its links. */
const plain = (text: string): string => text.replace(/\[([^\]]+)\]\([^)]+\)/g, '$1')

const diagnostics = ({ messages, causes, reasons }: Explanations): string => section('DIAGNOSTICS',
  prose(`\`serve\` logs to standard error, which is the journal under systemd. It logs changes once, not lookups.
The messages, with ... for what varies in them and [brackets] around what is not always there:`),
  termsOf(messages),
  '.Pp', prose('What begins a doubt about a table:'),
  termsOf(causes),
  '.Pp', prose('A temporary error tells Postfix its reason, which is in the mail log too:'),
  termsOf(reasons))

/** The items of the list below a heading of a guide. */
const itemsBelow = (heading: string, guide: string): readonly string[] => {
  const [, text = ''] = guide.split(`\n## ${heading}\n\n`)
  return (text.split('\n\n', 1)[0] ?? '').split(/^- /m).slice(1)
}

const bugs = (readme: string): string =>
  section('BUGS', itemsBelow('Limits', readme).map(item => prose(plain(item))).join('\n.Pp\n'))

/** The manual page in mdoc(7). `readme` is the text of README.md, whose limits are the page's bugs. */
export const programPage = (
  program: Command, explanations: Explanations, readme: string, version: string, date: Date,
): string => page({
  name: 'holdfast', number: 8, brief: 'answer Postfix\\(aqs table lookups even if MySQL is down',
  sections: [
    synopsis(program), description, commands(program), signals, environment, files, exitStatus,
    diagnostics(explanations),
    section('SEE ALSO',
      '.Xr postfix 1 ,', '.Xr holdfast.yaml 5 ,', '.Xr mysql_table 5 ,', '.Xr socketmap_table 5 ,', '.Xr tcp_table 5'),
    bugs(readme),
  ],
}, version, date)
