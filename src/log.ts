/**
 * The log: changes of state once, repeated warnings at most once a minute a
 * kind (with how many were left out), keys of lookups at debug level only. An
 * entry is one line of text or JSON; under systemd each line starts with the
 * priority that journald reads (sd-daemon(3)).
 */
import { getSystemErrorMap } from 'node:util'

export type Fields = Readonly<Record<string, string | number | boolean | undefined>>

export type Log = {
  debug(text: string, fields?: Fields): void
  info(text: string, fields?: Fields): void
  warn(text: string, fields?: Fields): void
  error(text: string, fields?: Fields): void
  /** A warning that may come in floods. Warnings of one `kind` are alike: one a minute is enough. */
  repeated(kind: string, text: string, fields?: Fields): void
  readonly isDebug: boolean
}

export type ConfigurableLog = Log & {
  /** Changes the settings from now on. */
  configure(settings: LogSettings): void
}

export type LogSettings = {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly format: 'text' | 'json'
  /** Whether journald reads the log: each line then starts with its priority. */
  readonly journal: boolean
}

const repeatMs = 60_000
/** Kinds are a fixed set but for what peers send. Any more than this count as one kind. */
const maxKinds = 200
const maxTextBytes = 500

/** `text` bounded and safe in a log line: without line ends, control characters and marks of writing direction. */
export const printable = (text: string): string =>
  text.slice(0, maxTextBytes).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?')

type Level = LogSettings['level']

/** Their order, and the priority that journald reads. */
const levels: Readonly<Record<Level, { readonly rank: number, readonly priority: string }>> = {
  debug: { rank: 0, priority: '<7>' },
  info: { rank: 1, priority: '<6>' },
  warn: { rank: 2, priority: '<4>' },
  error: { rank: 3, priority: '<3>' },
}

const toJson = (level: Level, time: string, text: string, fields: Fields): string =>
  `${JSON.stringify({ level, time, ...fields, msg: text })}\n`

const toText = (level: Level, head: string, text: string, fields: Fields): string => {
  const rest = Object.entries(fields).map(([name, value]) => {
    if (value === undefined) return ''
    const shown = String(value)
    return ` ${name}=${/^[^\s"=]+$/.test(shown) ? shown : JSON.stringify(shown)}`
  }).join('')
  return `${head}${level === 'info' ? '' : `${level}: `}${text}${rest}\n`
}

/** Limits warnings of a kind: null if it is too early for another one, else how many were left out since the last. */
const limitRepeats = (now: () => number): ((kind: string) => number | null) => {
  const lastByKind = new Map<string, { at: number, leftOut: number }>()
  return givenKind => {
    const kind = lastByKind.has(givenKind) || lastByKind.size < maxKinds ? givenKind : ''
    const last = lastByKind.get(kind)
    if (last !== undefined && now() - last.at < repeatMs) {
      last.leftOut++
      return null
    }
    lastByKind.set(kind, { at: now(), leftOut: 0 })
    return last?.leftOut ?? 0
  }
}

/**
 * A log that calls `write` with one whole line for each entry; `now` gives epoch ms. `onChange` is called for each
 * change of state, whatever the level: for all entries but repeated warnings and what is for debugging.
 */
export const createLog = (
  given: LogSettings, write: (line: string) => void, now: () => number,
  onChange: (level: Exclude<Level, 'debug'>, text: string) => void = () => undefined,
): ConfigurableLog => {
  let settings = given
  const writeEntry = (level: Level, text: string, fields: Fields): void => {
    if (levels[level].rank < levels[settings.level].rank) return
    const time = new Date(now()).toISOString()
    const head = settings.journal ? levels[level].priority : `${time} `
    const line = printable(text)
    write(settings.format === 'json' ? toJson(level, time, line, fields) : toText(level, head, line, fields))
  }
  const change = (level: Exclude<Level, 'debug'>) => (text: string, fields: Fields = {}): void => {
    onChange(level, text)
    writeEntry(level, text, fields)
  }
  const limited = limitRepeats(now)
  return {
    get isDebug() {
      return settings.level === 'debug'
    },
    configure: next => { settings = next },
    debug: (text, fields = {}) => writeEntry('debug', text, fields),
    info: change('info'), warn: change('warn'), error: change('error'),
    repeated: (kind, text, fields = {}) => {
      const leftOut = limited(kind)
      if (leftOut !== null) writeEntry('warn', text, leftOut === 0 ? fields : { ...fields, repeated: leftOut })
    },
  }
}

/** The system's error codes, each with its words. */
const codeWords: ReadonlyMap<string, string> = new Map([
  ...[...getSystemErrorMap().values()].filter(([code]) => code !== 'EOF'),
  ['ENOTFOUND', 'unknown host name'], ['EAI_AGAIN', 'the name server does not answer'],
])

/** A code with the call in front of it; what follows is words of its own after a colon, or what the call was about. */
const codes = /\b(?:(?:connect|read|write|listen|bind|accept|getaddrinfo|query\w+) )?(E[A-Z_0-9]+)\b(: | (?=\S))?/g

/** What ioredis says of a command that it does not keep until there is a connection. */
const ofNoStream = /^Stream isn't writeable and enableOfflineQueue options is false$/

/** `text` with words for error codes: "connection refused: 10.0.0.5:6379", not "connect ECONNREFUSED 10.0.0.5:6379". */
export const inWords = (text: string): string => text.replace(codes, (whole: string, code: string, joint?: string) => {
  const words = codeWords.get(code)
  if (words === undefined) return whole
  return joint === ': ' ? '' : `${words}${joint === undefined ? '' : ': '}`
}).replace(ofNoStream, 'not connected')

/** The message of an error, in words; anything else that was thrown has none. */
export const messageOf = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unknown error'
  // Of several attempts to connect Node gives the code alone.
  return inWords(error.message === '' && 'code' in error ? String(error.code) : error.message)
}

/** The log line for a bug, with its stack if there is one. */
export const bugOf = (error: unknown): string =>
  `bug: ${error instanceof Error ? error.stack ?? error.message : 'unknown'}`

/** What is wrong, and where to mend it: a file with its line, or the name of a map. */
export type Problem = { readonly place: string, readonly text: string }
