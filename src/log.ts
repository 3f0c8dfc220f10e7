/**
 * The log: changes of state once, repeated warnings at most one a minute a
 * kind (with how many were left out), keys of lookups at debug level only.
 * One line of text per entry, or JSON; under systemd each line starts with
 * the priority that journald reads (sd-daemon(3)).
 */
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>

export type Log = {
  debug(text: string, fields?: Fields): void
  info(text: string, fields?: Fields): void
  warn(text: string, fields?: Fields): void
  error(text: string, fields?: Fields): void
  /** A warning that may come in floods; `kind` tells which are alike. */
  repeated(kind: string, text: string, fields?: Fields): void
  readonly isDebug: boolean
}

export type ConfigurableLog = Log & {
  /** Other settings from now on. */
  configure(settings: LogSettings): void
}

export type LogSettings = {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly format: 'text' | 'json'
  /** journald reads what we write: give the priority in its way. */
  readonly journal: boolean
}

const repeatMs = 60_000
/** Kinds are a closed set but for peers' mistakes; more than this are all of one kind. */
const maxKinds = 200
const maxTextBytes = 500

/** Peers' text, bounded and printable, safe in a log line: nothing that ends a line, moves a cursor or turns the direction of what follows. */
export const printable = (text: string): string =>
  text.slice(0, maxTextBytes).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?')

type Level = LogSettings['level']

/** By rank, with the priority that journald reads. */
const levels: Readonly<Record<Level, { readonly rank: number, readonly priority: string }>> = {
  debug: { rank: 0, priority: '<7>' }, info: { rank: 1, priority: '<6>' }, warn: { rank: 2, priority: '<4>' }, error: { rank: 3, priority: '<3>' },
}

const toJson = (level: Level, time: string, text: string, fields: Fields): string => `${JSON.stringify({ level, time, ...fields, msg: text })}\n`

const toText = (level: Level, head: string, text: string, fields: Fields): string => {
  const rest = Object.entries(fields).map(([name, value]) => {
    if (value === undefined) return ''
    const shown = String(value)
    return ` ${name}=${/^[^\s"=]+$/.test(shown) ? shown : JSON.stringify(shown)}`
  }).join('')
  return `${head}${level === 'info' ? '' : `${level}: `}${text}${rest}\n`
}

/** For warnings that may come in floods, of kinds that are alike: how many of a kind were left out since its last one, or null if it is too early for another. */
export const limitRepeats = (now: () => number): ((kind: string) => number | null) => {
  const lastByKind = new Map<string, { at: number, left: number }>()
  return givenKind => {
    const kind = lastByKind.has(givenKind) || lastByKind.size < maxKinds ? givenKind : ''
    const last = lastByKind.get(kind)
    if (last !== undefined && now() - last.at < repeatMs) {
      last.left++
      return null
    }
    lastByKind.set(kind, { at: now(), left: 0 })
    return last?.left ?? 0
  }
}

/** Writes to `write` (one whole line a call). */
export const createLog = (given: LogSettings, write: (line: string) => void, now: () => number): ConfigurableLog => {
  let settings = given
  const tell = (level: Level, text: string, fields: Fields): void => {
    if (levels[level].rank < levels[settings.level].rank) return
    const time = new Date(now()).toISOString()
    const line = printable(text)
    write(settings.format === 'json' ? toJson(level, time, line, fields) : toText(level, settings.journal ? levels[level].priority : `${time} `, line, fields))
  }
  const mayRepeat = limitRepeats(now)
  return {
    get isDebug() {
      return settings.level === 'debug'
    },
    configure: next => { settings = next },
    debug: (text, fields = {}) => tell('debug', text, fields),
    info: (text, fields = {}) => tell('info', text, fields),
    warn: (text, fields = {}) => tell('warn', text, fields),
    error: (text, fields = {}) => tell('error', text, fields),
    repeated: (kind, text, fields = {}) => {
      const left = mayRepeat(kind)
      if (left !== null) tell('warn', text, left === 0 ? fields : { ...fields, repeated: left })
    },
  }
}

/** What an error says of itself; whatever else was thrown says nothing. */
export const messageOf = (error: unknown): string => error instanceof Error ? error.message : 'unknown error'

/** What the log says of a bug: with its stack, if it has one. */
export const bugOf = (error: unknown): string => `bug: ${error instanceof Error ? error.stack ?? error.message : 'unknown'}`

/** What is wrong, and the place to mend it: a file with its line, or a map's name. */
export type Problem = { readonly place: string, readonly text: string }
