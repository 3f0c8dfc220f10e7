/** Completion for zsh, by its own _arguments: zshcompsys(1). Options and commands come with their descriptions. */
import { quoted } from './words.js'
import type { Completed, CompletedCommand, CompletedOption, Place } from './words.js'

const actionOf = ({ kind }: Place): string => {
  if (typeof kind !== 'string') return `(${kind.join(' ')})`
  switch (kind) {
    case 'file': return '_files'
    case 'folder': return '_files -/'
    case 'map': return '_holdfast_maps'
    case 'other': return ''
    default: return kind satisfies never
  }
}
const placeText = (place: Place): string => `${place.name}:${actionOf(place)}`

/** `--config[the configuration file]:FILE:_files`, where a bracket in the description would end it. */
const optionText = ({ long, description, takes }: CompletedOption): string =>
  quoted(`${long}[${description.replace(/[[\]\\]/g, '\\$&')}]${takes === null ? '' : `:${placeText(takes)}`}`)

const armOf = ({ name, options, places }: CompletedCommand): string =>
  `        ${name}) _arguments ${[...options.map(optionText), ...places.map((place, index) => quoted(`${index + 1}:${placeText(place)}`))].join(' \\\n          ')} ;;`

/** The script: to be read by `source`, or a file _holdfast in $fpath. */
export const zshCompletion = ({ options, commands, standardConfig }: Completed): string => `#compdef holdfast
# Completion of holdfast(8) for zsh; \`holdfast completion zsh\` makes it.
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
  _arguments -C ${options.map(optionText).join(' ')} '1: :->command' '*:: :->rest'
  case $state in
    command) _describe -t commands command commands ;;
    rest)
      case $words[1] in
${commands.map(armOf).join('\n')}
      esac ;;
  esac
}
if [[ $funcstack[1] == _holdfast ]]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`
