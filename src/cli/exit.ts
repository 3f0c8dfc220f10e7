/** Exit codes, as in sysexits(3), and the error by which a command ends with one. */

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
