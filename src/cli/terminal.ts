/** How a command ends, with exit codes as in sysexits(3), and its text for people on a terminal. */
import { styleText } from 'node:util'
import { createLog } from '../log.js'
import type { Log, LogSettings } from '../log.js'

/** The command line is wrong. */
export const exitUsage = 64
/** An input file can't be read. */
export const exitNoInput = 66
/** The daemon can't listen, or postconf(1) can't be run. */
export const exitUnavailable = 69
/** An output file can't be written. */
export const exitCantCreate = 73
/** The daemon or a table can't be asked now; try again later. */
export const exitTempfail = 75
/** The configuration is wrong. */
export const exitConfig = 78

/** A command gives up: its message goes to standard error, after the command's name. */
export class Failure extends Error {
  readonly exitCode: number

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.exitCode = exitCode
  }
}

/** The log of a command: text on standard error, from `level` on. */
export const terminalLog = (level: LogSettings['level'], { stderr }: NodeJS.Process): Log =>
  createLog({ level, format: 'text', journal: false }, line => stderr.write(line), Date.now)

/** A span of time (ms) in its largest units, for people. */
export const span = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h ${Math.floor(seconds % 3_600 / 60)} min`
  return `${Math.floor(seconds / 86_400)} days`
}

/** `1 map`, `2 maps`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

export type Paint = (format: 'green' | 'yellow' | 'red' | 'dim' | 'bold', text: string) => string

/** Colours if standard output is a terminal and NO_COLOR isn't set; plain text otherwise. */
export const painter = ({ stdout, env }: NodeJS.Process): Paint => (format, text) =>
  stdout.isTTY && env['NO_COLOR'] === undefined ? styleText(format, text) : text

/** Rows in columns, indented; numbers, which come after the first column, to the right. */
export const table = (rows: readonly (readonly string[])[]): string => {
  const widths = rows.reduce<number[]>(
    (widest, row) => row.map((cell, column) => Math.max(widest[column] ?? 0, cell.length)), [])
  const line = (row: readonly string[]): string =>
    row.map((cell, index) => index === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[index] ?? 0)).join('  ')
  return rows.map(row => `  ${line(row)}\n`).join('')
}
