/** What can be completed, from the command line's own definition; each shell's script is made of this. */
import type { Argument, Command, Option } from 'commander'
import { placeholderOf } from '../placeholder.js'

/** What stands in the place of a word: one of given words, or what the shell or the program can list. */
export type Kind = 'file' | 'folder' | 'map' | 'other' | readonly string[]

/** `takes`: what its value is; null for an option without one. */
export type CompletedOption = { readonly long: string, readonly description: string, readonly takes: Place | null }
/** `name` is what the help calls it: `FILE`. */
export type Place = { readonly name: string, readonly kind: Kind }
export type CompletedCommand = {
  readonly name: string
  readonly description: string
  readonly options: readonly CompletedOption[]
  readonly places: readonly Place[]
}
export type Completed = {
  readonly options: readonly CompletedOption[]
  readonly commands: readonly CompletedCommand[]
  /** The configuration whose maps are offered if the line names no other. */
  readonly standardConfig: string
}

const placeOf = (name: string, choices: readonly string[] | undefined): Place => {
  if (choices !== undefined) return { name, kind: choices }
  switch (name) {
    case 'FILE': case 'CONFIG': return { name, kind: 'file' }
    case 'DIR': return { name, kind: 'folder' }
    case 'MAP': return { name, kind: 'map' }
    default: return { name, kind: 'other' }
  }
}

const optionOf = (option: Option): CompletedOption => {
  const value = placeholderOf(option)
  return { long: option.long ?? '', description: option.description, takes: value === undefined ? null : placeOf(value, option.argChoices) }
}
const optionsOf = (command: Command): readonly CompletedOption[] => command.createHelp().visibleOptions(command).map(optionOf)
const placesOf = ({ registeredArguments }: Command): readonly Place[] =>
  registeredArguments.map((argument: Argument) => placeOf(argument.name(), argument.argChoices))

/** What a list of commands has room for: what it does, without the exit codes. */
const briefOf = (description: string): string => description.split(';', 1)[0] ?? ''

/** Every command that the help shows, `help` itself among them. */
export const completed = (program: Command, standardConfig: string): Completed => {
  const commands = program.createHelp().visibleCommands(program)
  return {
    standardConfig,
    options: optionsOf(program),
    commands: commands.map(command => ({
      name: command.name(), description: briefOf(command.description()),
      ...command.name() === 'help'
        ? { options: [], places: [{ name: 'COMMAND', kind: commands.map(each => each.name()) }] }
        : { options: optionsOf(command), places: placesOf(command) },
    })),
  }
}

/** A word for sh, bash and zsh that they take as it is. */
export const quoted = (text: string): string => `'${text.replaceAll('\'', '\'\\\'\'')}'`
