/**
 * Completion for bash. It needs nothing but bash, and asks the program for one
 * thing only: the maps' names in the configuration.
 */
import { quoted } from './words.js'
import type { Completed, CompletedCommand, Kind } from './words.js'

const kindText = (kind: Kind): string => typeof kind === 'string' ? kind : `one of ${kind.join(' ')}`

/** One arm of a `case` on the command: its options, those of them that take a value, and its arguments. */
const armOf = ({ name, options, places }: CompletedCommand): string => {
  const valued = options.flatMap(({ long, takes }) => takes === null ? [] : [`[${long}]=${quoted(kindText(takes.kind))}`])
  return `    ${name})
      options=${quoted(options.map(({ long }) => long).join(' '))}
      valued=(${valued.join(' ')})
      arguments=(${places.map(({ kind }) => quoted(kindText(kind))).join(' ')}) ;;`
}

/** The script. */
export const bashCompletion = ({ options, commands, standardConfig }: Completed): string => `# Completion of holdfast(8) for bash; \`holdfast completion bash\` makes it.
_holdfast() {
  local current=\${COMP_WORDS[COMP_CWORD]} command=\${COMP_WORDS[1]} config=${quoted(standardConfig)}
  local options= kind= word i
  local -A valued=()
  local -a arguments=()
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    _holdfast_offer ${quoted([...commands.map(({ name }) => name), ...options.map(({ long }) => long)].join(' '))}
    return
  fi
  case $command in
${commands.map(armOf).join('\n')}
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
