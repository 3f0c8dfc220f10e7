/**
 * Completion for bash, from the command line's own definition. It needs nothing
 * but bash, and asks the program for one thing only: the maps' names in the
 * configuration. zsh takes it after `autoload -U bashcompinit; bashcompinit`.
 */
import type { Argument, Command, Option } from 'commander'
import { placeholderOf } from './placeholder.js'

const quoted = (text: string): string => `'${text.replaceAll('\'', '\'\\\'\'')}'`

/** What stands in the place of a word, by what the help calls it: files, folders, maps, or one of given words. */
const kindOf = (placeholder: string, choices: readonly string[] | undefined): string => {
  if (choices !== undefined) return `one of ${choices.join(' ')}`
  switch (placeholder) {
    case 'FILE': case 'CONFIG': return 'file'
    case 'DIR': return 'folder'
    case 'MAP': return 'map'
    default: return 'other'
  }
}

const optionsOf = (command: Command): readonly Option[] => command.createHelp().visibleOptions(command)
const argumentKind = (argument: Argument): string => kindOf(argument.name(), argument.argChoices)

/** One arm of a `case` on the command: its options, those of them that take a value, and its arguments. */
const armOf = (command: Command): string => {
  const options = optionsOf(command)
  const valued = options.flatMap(option => {
    const value = placeholderOf(option)
    return value === undefined ? [] : [`[${option.long ?? ''}]=${quoted(kindOf(value, option.argChoices))}`]
  })
  return `    ${command.name()})
      options=${quoted(options.map(({ long }) => long ?? '').join(' '))}
      valued=(${valued.join(' ')})
      arguments=(${command.registeredArguments.map(argument => quoted(argumentKind(argument))).join(' ')}) ;;`
}

/** The script. `standardConfig` is the configuration whose maps are offered if the line names no other. */
export const bashCompletion = (program: Command, standardConfig: string): string => {
  const commands = program.createHelp().visibleCommands(program)
  return `# Completion of holdfast(8) for bash; \`holdfast completion bash\` makes it.
_holdfast() {
  local current=\${COMP_WORDS[COMP_CWORD]} command=\${COMP_WORDS[1]} config=${quoted(standardConfig)}
  local options= kind= word i
  local -A valued=()
  local -a arguments=()
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    _holdfast_offer ${quoted([...commands.map(each => each.name()), ...optionsOf(program).map(({ long }) => long ?? '')].join(' '))}
    return
  fi
  case $command in
${commands.filter(each => each.name() !== 'help').map(armOf).join('\n')}
    help) arguments=(${quoted(`one of ${commands.map(each => each.name()).join(' ')}`)}) ;;
    *) return ;;
  esac
  # Which argument is it? Options and their values don't count.
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
  kind=\${kind:-\${arguments[position]-}}
  case $kind in
    'one of '*) _holdfast_offer "\${kind#one of }" ;;
    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    map) _holdfast_offer "$(holdfast completion maps --config "$config" 2> /dev/null)" ;;
  esac
}
# Those of the words in $1 that begin as the current one does, quoted. Not by compgen -W, which would expand them.
_holdfast_offer() {
  local -a words
  read -r -d '' -a words <<< "$1"
  for word in "\${words[@]}"; do
    [[ $word == "$current"* ]] && printf -v word %q "$word" && COMPREPLY+=("$word")
  done
}
complete -F _holdfast holdfast
`
}
