/**
 * The log: changes of state once, repeated warnings at most one a minute a
 * kind (with how many were left out), keys of lookups at debug level only.
 * One line of text per entry, or JSON; under systemd each line starts with
 * the priority that journald reads (sd-daemon(3)).
 */
import { pino } from 'pino'

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

const priority: Record<string, string> = { debug: '<7>', info: '<6>', warn: '<4>', error: '<3>' }

const toText = (line: string, journal: boolean): string => {
  const { level, msg, time, ...fields } = JSON.parse(line) as Record<string, unknown>
  const label = String(level)
  const rest = Object.entries(fields).map(([name, value]) => {
    const shown = String(value)
    return ` ${name}=${/^[^\s"=]+$/.test(shown) ? shown : JSON.stringify(shown)}`
  }).join('')
  const head = journal ? priority[label] ?? '' : `${String(time)} `
  return `${head}${label === 'info' ? '' : `${label}: `}${String(msg)}${rest}\n`
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
  const logger = pino({
    level: settings.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
  }, { write: (line: string) => write(settings.format === 'json' ? line : toText(line, settings.journal)) })
  const mayRepeat = limitRepeats(now)
  return {
    get isDebug() {
      return settings.level === 'debug'
    },
    configure: next => {
      settings = next
      logger.level = next.level
    },
    debug: (text, fields = {}) => logger.debug(fields, printable(text)),
    info: (text, fields = {}) => logger.info(fields, printable(text)),
    warn: (text, fields = {}) => logger.warn(fields, printable(text)),
    error: (text, fields = {}) => logger.error(fields, printable(text)),
    repeated: (kind, text, fields = {}) => {
      const left = mayRepeat(kind)
      if (left !== null) logger.warn(left === 0 ? fields : { ...fields, repeated: left }, printable(text))
    },
  }
}
