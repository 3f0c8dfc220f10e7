/** holdfast(8): commands, options and examples from the command line's own definition; the rest is said here. */
import type { Argument, Command, Option } from 'commander'
import { example, list, page, prose, section, word } from './mdoc.js'
import { placeholderOf } from './placeholder.js'

const argumentOf = (argument: Argument): string => {
  const name = word(argument.name())
  return argument.required ? `Ar ${name}` : `Op Ar ${name}`
}

const optionOf = (option: Option): string => {
  const value = placeholderOf(option)
  // .Fl gives the first hyphen.
  return `Fl ${word((option.long ?? option.flags).slice(1))}${value === undefined ? '' : ` Ar ${word(value)}`}`
}

const optionText = ({ description, defaultValue }: Option): string =>
  prose(defaultValue === undefined || defaultValue === false ? `${description}.` : `${description}. Default: \`${String(defaultValue)}\`.`)

/** What the command's help says after its options: examples, and sentences. */
const afterHelp = (command: Command): { readonly examples: string, readonly text: string } => {
  let help = ''
  command.configureOutput({ writeOut: text => { help += text } })
  command.outputHelp()
  const match = /\nExamples?:\n((?: {2}.*\n)+)([^]*)$/.exec(help)
  return { examples: (match?.[1] ?? '').replace(/^ {2}/gm, ''), text: (match?.[2] ?? '').trim() }
}

const commandsOf = (program: Command): readonly Command[] => program.createHelp().visibleCommands(program).filter(command => command.name() !== 'help')

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

/** The manual page in mdoc(7). */
export const programPage = (program: Command, version: string, date: Date): string => page({
  name: 'holdfast', number: 8, brief: 'answer Postfix\\(aqs table lookups also while MySQL is down',
  sections: [
    section('SYNOPSIS', ...commandsOf(program).flatMap(command => [
      '.Nm', `.Cm ${word(command.name())}`, ...optionsOf(command).map(option => `.Op ${optionOf(option)}`),
      ...command.registeredArguments.map(argument => `.${argumentOf(argument)}`),
    ])),
    section('DESCRIPTION', '.Nm', prose(`
is a local server between Postfix and MySQL.
Postfix asks it by socketmap or tcp tables; it answers from memory, then Redis, then MySQL, within one deadline.
It knows absent (the table said so, lately) from could not find out: while MySQL is slow, gone or half restored,
known recipients are served on, others are deferred, and a recipient that exists is never answered absent.`)),
    section('COMMANDS', list(commandsOf(program).map(command => [
      ['Cm', word(command.name()), ...command.registeredArguments.map(argumentOf)].join(' '), describe(command),
    ]))),
    section('SIGNALS', prose('To `holdfast serve`:'), list([
      ['Dv SIGHUP', prose('reads the configuration, its text tables and certificates anew. Clients stay connected; a configuration with faults changes nothing, and the log has all of them.')],
      ['Dv SIGTERM , SIGINT', prose('takes no more clients, answers what was asked, keeps its snapshot, and ends.')],
    ])),
    section('ENVIRONMENT', list([
      ['Ev NOTIFY_SOCKET , WATCHDOG_USEC', prose('`serve` tells the service manager that it is ready, reloads, lives and stops.')],
      ['Ev LISTEN_FDS , LISTEN_PID', prose('sockets that the service manager holds; `listen` in the configuration names them too.')],
      ['Ev STATE_DIRECTORY', prose('where the snapshot is kept, unless there is Redis or `snapshot` names a file.')],
      ['Ev JOURNAL_STREAM', prose('log lines begin with the priority that journald reads.')],
      ['Ev NO_COLOR', prose('no colours on a terminal.')],
    ])),
    section('FILES', list([
      ['Pa /etc/holdfast/holdfast.yaml', prose('the configuration.')],
      ['Pa /var/spool/postfix/holdfast/holdfast.sock', prose('the socket for Postfix, in the folder that chrooted services see.')],
      ['Pa /run/holdfast/admin.sock', prose('the socket of `explain`, `flush`, `trust`, `warm`, `export` and `import`.')],
      ['Pa /var/lib/holdfast/snapshot', prose('what is known, over a restart without Redis.')],
    ])),
    section('EXIT STATUS', prose('As in'), '.Xr sysexits 3 ,', prose('where a command doesn\'t say otherwise:'), list([
      ['0', prose('all is well; `query`: found.')],
      ['1', prose('`query`: absent; `compare`: answers differ.')],
      ['64', prose('wrong use.')],
      ['69', prose('`serve`: can\'t listen where the configuration says.')],
      ['75', prose('can\'t be found out now: no daemon, or a table that can\'t be asked; `serve`: ended by a fault of its own; start it again.')],
      ['78', prose('the configuration is wrong.')],
    ])),
    section('SEE ALSO', '.Xr postfix 1 ,', '.Xr holdfast.yaml 5 ,', '.Xr mysql_table 5 ,', '.Xr socketmap_table 5 ,', '.Xr tcp_table 5'),
  ],
}, version, date)
