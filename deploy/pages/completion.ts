/**
 * The completion scripts of bash, zsh and fish, made from the command line's own
 * definition. They need nothing but the shell. The names of the maps, which are in
 * the configuration, they get from `holdfast completion maps`.
 */
import type { Argument, Command, Option } from 'commander'
import { placeholderOf } from './program_page.js'

/** What a word may be: one of given words, or what the shell or the program can list. */
type Kind = 'file' | 'folder' | 'map' | 'other' | readonly string[]

/** A word of a command line; `name` is what the help calls it, such as FILE. */
type Word = { readonly name: string, readonly kind: Kind }

/** `value` is null for an option without one. */
type OptionWords = { readonly long: string, readonly description: string, readonly value: Word | null }

type CommandWords = {
  readonly name: string
  readonly description: string
  readonly options: readonly OptionWords[]
  readonly operands: readonly Word[]
}

type Completions = {
  readonly options: readonly OptionWords[]
  readonly commands: readonly CommandWords[]
  /** The configuration file to take the maps from unless the line names another. */
  readonly standardConfig: string
}

const wordOf = (name: string, choices: readonly string[] | undefined): Word => {
  if (choices !== undefined) return { name, kind: choices }
  switch (name) {
    case 'FILE': case 'CONFIG': return { name, kind: 'file' }
    case 'DIR': return { name, kind: 'folder' }
    case 'MAP': return { name, kind: 'map' }
    default: return { name, kind: 'other' }
  }
}

const optionOf = (option: Option): OptionWords => {
  const value = placeholderOf(option)
  return {
    long: option.long ?? '', description: option.description,
    value: value === undefined ? null : wordOf(value, option.argChoices),
  }
}

const optionsOf = (command: Command): readonly OptionWords[] =>
  command.createHelp().visibleOptions(command).map(optionOf)

const operandsOf = ({ registeredArguments }: Command): readonly Word[] =>
  registeredArguments.map((argument: Argument) => wordOf(argument.name(), argument.argChoices))

/** A list of commands has room for what each does, but not for its exit codes. */
const briefOf = (description: string): string => description.split(';', 1)[0] ?? ''

/** Every command that the help shows, `help` itself among them. */
export const completionsOf = (program: Command, standardConfig: string): Completions => {
  const commands = program.createHelp().visibleCommands(program)
  return {
    standardConfig,
    options: optionsOf(program),
    commands: commands.map(command => ({
      name: command.name(), description: briefOf(command.description()),
      ...command.name() === 'help'
        ? { options: [], operands: [{ name: 'COMMAND', kind: commands.map(each => each.name()) }] }
        : { options: optionsOf(command), operands: operandsOf(command) },
    })),
  }
}

/** `text` as one word for bash and zsh. */
const quoted = (text: string): string => `'${text.replaceAll('\'', '\'\\\'\'')}'`

const bashKind = (kind: Kind): string => quoted(typeof kind === 'string' ? kind : `one of ${kind.join(' ')}`)

/** One arm of a `case` on the command: its options, those of them that take a value, and its operands. */
const bashArm = ({ name, options, operands }: CommandWords): string => {
  const valued = options.flatMap(({ long, value }) => value === null ? [] : [`[${long}]=${bashKind(value.kind)}`])
  return `    ${name})
      options=${quoted(options.map(({ long }) => long).join(' '))}
      valued=(${valued.join(' ')})
      operands=(${operands.map(({ kind }) => bashKind(kind)).join(' ')}) ;;`
}

/** The script for bash. */
export const bashCompletion = ({ options, commands, standardConfig }: Completions): string => `\
# Completion of holdfast(8) for bash.
_holdfast() {
  local current=\${COMP_WORDS[COMP_CWORD]} command=\${COMP_WORDS[1]} config=${quoted(standardConfig)}
  local options= kind= word i
  local -A valued=()
  local -a operands=()
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    _holdfast_offer ${quoted([...commands.map(({ name }) => name), ...options.map(({ long }) => long)].join(' '))}
    return
  fi
  case $command in
${commands.map(bashArm).join('\n')}
    *) return ;;
  esac
  # Which operand is it? Options and their values don't count.
  local -i position=0
  for ((i = 2; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n \${valued[$word]-} ]]; then
      ((i += 1))
      [[ $word == --config ]] && ((i < COMP_CWORD)) && config=\${COMP_WORDS[i]}
    elif [[ $word != -* ]]; then
      position+=1
    fi
  done
  kind=\${valued[\${COMP_WORDS[COMP_CWORD-1]}]-}
  if [[ -z $kind && $current == -* ]]; then
    _holdfast_offer "$options"
    return
  fi
  kind=\${kind:-\${operands[position]-}}
  case $kind in
    'one of '*) _holdfast_offer "\${kind#one of }" ;;
    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    map) _holdfast_offer "$(holdfast completion maps --config "$config" 2> /dev/null)" ;;
  esac
}
# Offers the words of $1 that begin as the current one does, quoted. compgen -W would expand them.
_holdfast_offer() {
  local -a words
  read -r -d '' -a words <<< "$1"
  for word in "\${words[@]}"; do
    [[ $word == "$current"* ]] && printf -v word %q "$word" && COMPREPLY+=("$word")
  done
}
complete -F _holdfast holdfast
`

const zshAction = ({ kind }: Word): string => {
  if (typeof kind !== 'string') return `(${kind.join(' ')})`
  switch (kind) {
    case 'file': return '_files'
    case 'folder': return '_files -/'
    case 'map': return '_holdfast_maps'
    case 'other': return ''
    default: return kind satisfies never
  }
}

const zshWord = (word: Word): string => `${word.name}:${zshAction(word)}`

/** `--config[the configuration file]:FILE:_files`; a bracket in the description would end it. */
const zshOption = ({ long, description, value }: OptionWords): string =>
  quoted(`${long}[${description.replace(/[[\]\\]/g, '\\$&')}]${value === null ? '' : `:${zshWord(value)}`}`)

const zshArm = ({ name, options, operands }: CommandWords): string => {
  const ofOperands = operands.map((operand, index) => quoted(`${index + 1}:${zshWord(operand)}`))
  const words = [...options.map(zshOption), ...ofOperands]
  return `        ${name}) _arguments ${words.join(' \\\n          ')} ;;`
}

/** The script for zsh: to be read by `source`, or a file _holdfast in $fpath. It uses _arguments of zshcompsys(1). */
export const zshCompletion = ({ options, commands, standardConfig }: Completions): string => `\
#compdef holdfast
# Completion of holdfast(8) for zsh.
_holdfast_maps() {
  local config=\${(Q)opt_args[--config]:-${standardConfig}}
  local -a maps=("\${(@f)$(holdfast completion maps --config "$config" 2> /dev/null)}")
  compadd -- "\${maps[@]:#}"
}
_holdfast() {
  local curcontext=$curcontext state line
  local -A opt_args
  local -a commands=(
${commands.map(({ name, description }) => `    ${quoted(`${name}:${description}`)}`).join('\n')}
  )
  _arguments -C ${options.map(zshOption).join(' ')} '1: :->command' '*:: :->rest'
  case $state in
    command) _describe -t commands command commands ;;
    rest)
      case $words[1] in
${commands.map(zshArm).join('\n')}
      esac ;;
  esac
}
if [[ $funcstack[1] == _holdfast ]]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`

/** `text` as one word for fish, which knows two escapes within single quotes. */
const fishQuoted = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`

/** What a word may be, as options of fish's `complete`. */
const fishWords = ({ kind }: Word): string => {
  if (typeof kind !== 'string') return `-a ${fishQuoted(kind.join(' '))}`
  switch (kind) {
    case 'file': return '-F'
    case 'folder': return '-a \'(__fish_complete_directories (commandline -ct))\''
    case 'map': return '-a \'(__holdfast_maps)\''
    case 'other': return ''
    default: return kind satisfies never
  }
}

const fishOption = (condition: string, { long, description, value }: OptionWords): string =>
  `complete -c holdfast -n ${fishQuoted(condition)} -l ${long.replace(/^--/, '')} -d ${fishQuoted(description)}`
  + (value === null ? '' : ` -r ${fishWords(value)}`)

const fishLines = ({ name, description, options, operands }: CommandWords): readonly string[] => [
  `complete -c holdfast -n '__holdfast_is 0' -a ${name} -d ${fishQuoted(description)}`,
  ...options.map(option => fishOption(`__holdfast_is any ${name}`, option)),
  ...operands.flatMap((operand, index) => operand.kind === 'other' ? []
    : [`complete -c holdfast -n ${fishQuoted(`__holdfast_is ${index + 1} ${name}`)} ${fishWords(operand)}`]),
]

const valuedOptions = (commands: readonly CommandWords[]): readonly string[] =>
  [...new Set(commands.flatMap(({ options }) => options.flatMap(({ long, value }) => value === null ? [] : [long])))]

/** The script for fish: a line for each option and each operand, with its description. */
export const fishCompletion = ({ options, commands, standardConfig }: Completions): string => `\
# Completion of holdfast(8) for fish.
complete -c holdfast -f
# The words before this one, without options and their values.
function __holdfast_words
    set -l valued ${valuedOptions(commands).join(' ')}
    set -l previous
    for word in (commandline -opc)[2..]
        if not contains -- "$previous" $valued; and not string match -q -- '-*' $word
            echo $word
        end
        set previous $word
    end
end
# Is this the word in that place (0: the command), and of that command?
function __holdfast_is -a place command
    set -l words (__holdfast_words)
    test "$place" = any -o "$place" = (count $words); and test -z "$command" -o "$command" = "$words[1]"
end
function __holdfast_maps
    set -l words (commandline -opc)
    set -l config ${fishQuoted(standardConfig)}
    set -l at (contains -i -- --config $words); and set config $words[(math $at + 1)]
    holdfast completion maps --config $config 2> /dev/null
end
${[...options.map(option => fishOption('__holdfast_is 0', option)), ...commands.flatMap(fishLines)].join('\n')}
`
