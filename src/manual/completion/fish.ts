/** Completion for fish: a line for each option and each argument, with its description. */
import type { Completed, CompletedCommand, CompletedOption, Place } from './words.js'

/** fish knows two escapes within single quotes. */
const quoted = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`

/** What a word in that place may be, as options of fish's `complete`. */
const wordsOf = ({ kind }: Place): string => {
  if (typeof kind !== 'string') return `-a ${quoted(kind.join(' '))}`
  switch (kind) {
    case 'file': return '-F'
    case 'folder': return '-a \'(__fish_complete_directories (commandline -ct))\''
    case 'map': return '-a \'(__holdfast_maps)\''
    case 'other': return ''
    default: return kind satisfies never
  }
}

const optionLine = (condition: string, { long, description, takes }: CompletedOption): string =>
  `complete -c holdfast -n ${quoted(condition)} -l ${long.replace(/^--/, '')} -d ${quoted(description)}${takes === null ? '' : ` -r ${wordsOf(takes)}`}`

const linesOf = ({ name, description, options, places }: CompletedCommand): readonly string[] => [
  `complete -c holdfast -n '__holdfast_is 0' -a ${name} -d ${quoted(description)}`,
  ...options.map(option => optionLine(`__holdfast_is any ${name}`, option)),
  ...places.flatMap((place, index) => place.kind === 'other' ? [] : [`complete -c holdfast -n ${quoted(`__holdfast_is ${index + 1} ${name}`)} ${wordsOf(place)}`]),
]

/** The script. */
export const fishCompletion = ({ options, commands, standardConfig }: Completed): string => `# Completion of holdfast(8) for fish; \`holdfast completion fish\` makes it.
complete -c holdfast -f
# The words before this one that are no options and no options' values.
function __holdfast_words
    set -l valued ${[...new Set(commands.flatMap(command => command.options.flatMap(({ long, takes }) => takes === null ? [] : [long])))].join(' ')}
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
    set -l config ${quoted(standardConfig)}
    set -l at (contains -i -- --config $words); and set config $words[(math $at + 1)]
    holdfast completion maps --config $config 2> /dev/null
end
${[...options.map(option => optionLine('__holdfast_is 0', option)), ...commands.flatMap(linesOf)].join('\n')}
`
