/** Manual pages in the macros of mdoc(7), which mandoc and groff both read. Only what our two pages use. */

/** Characters that a formatter takes for its own, or prints as another that looks like them. */
const special: Readonly<Record<string, string>> = {
  '\\': '\\e', '-': '\\-', '\'': '\\(aq', '`': '\\(ga', '^': '\\(ha', '~': '\\(ti',
}

/** Any text on one line, printed as it stands. */
const literal = (text: string): string =>
  text.replace(/[\\'`^~-]/g, found => special[found] ?? found).replace(/^\./, '\\&.')

/** Plain text with each sentence on a line of its own, as mdoc wants it. */
const sentences = (text: string): string =>
  literal(text).replace(/\s*\n\s*/g, '\n').replace(/(?<=[.;:]) +(?=[A-Z])/g, '\n')

/** Lines as long as mandoc's lint wants them. A dot at the beginning of one would make it a macro. */
const wrapped = (text: string): string =>
  text.replace(/(?=.{79}).{1,76}(?= ) /g, line => `${line.trimEnd()}\n`).replace(/\n(?=\.)/g, '\n\\&')

/** A paragraph; what is in `backquotes` is shown in bold, without them. */
export const prose = (text: string): string => wrapped(text.trim().split(/`([^`]*)`/)
  .map((part, index) => index % 2 === 0 ? sentences(part) : `\\fB${literal(part)}\\fP`).join(''))

/** A word as an argument of a macro. */
export const word = (text: string): string => {
  const escaped = literal(text).replaceAll('"', '\\(dq')
  // mdoc takes these for a macro's name, or for punctuation.
  return /^[A-Z][a-z]$|^[^\w\\]$/.test(text) ? `\\&${escaped}` : /\s/.test(text) ? `"${escaped}"` : escaped
}

export const section = (title: string, ...lines: readonly string[]): string => [`.Sh ${title}`, ...lines].join('\n')

/** Lines printed as they are. */
export const example = (text: string): string =>
  ['.Bd -literal -offset indent', ...text.replace(/\n$/, '').split('\n').map(literal), '.Ed'].join('\n')

/** Terms, each a line of macros, with a text on each; one without a text shares that of the next. */
export const list = (items: readonly (readonly [term: string, text: string])[]): string => [
  '.Bl -tag -width Ds', ...items.map(([term, text]) => text === '' ? `.It ${term}` : `.It ${term}\n${text}`), '.El',
].join('\n')

export type Page = {
  readonly name: string
  /** The section of the manual. */
  readonly number: 5 | 8
  readonly brief: string
  readonly sections: readonly string[]
}

/** The whole page. `date` is the day on which it is made, `version` the program's. */
export const page = ({ name, number, brief, sections }: Page, version: string, date: Date): string => [
  `.\\" Made by the build of holdfast ${version} from its commands and its schema; do not edit.`,
  `.Dd ${date.toLocaleDateString('en', { year: 'numeric', month: 'long', day: 'numeric', timeZone: 'UTC' })}`,
  `.Dt ${name.toUpperCase()} ${number}`,
  '.Os',
  section('NAME', `.Nm ${name}`, `.Nd ${brief}`),
  ...sections, '',
].join('\n')
