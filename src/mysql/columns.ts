/**
 * The columns of a result -> the bytes that the text protocol would send, which
 * are what Postfix's own client sees. Prepared statements answer in the binary
 * protocol, where numbers and dates are no text; strings come as they are.
 *
 * Numbers follow the server's own conversion (my_gcvt and my_fcvt in MySQL's
 * and MariaDB's dtoa.c): the shortest digits that mean the same number, six
 * for FLOAT, an exponent from 1e15 on and below 1e-15, ties to even.
 */
import type { FieldPacket, TypeCastField, TypeCastNext } from 'mysql2'
import type { ByteString } from '../outcome.js'

/** What is needed of a column's definition. */
export type Column = Pick<FieldPacket, 'columnType' | 'flags' | 'columnLength' | 'decimals'>

const bytesOf = (buffer: Buffer | null): ByteString | null => buffer === null ? null : buffer.toString('latin1') as ByteString

/** The driver's hook for the text protocol: every column as its bytes. */
export const castText = (field: TypeCastField): unknown => field.string('latin1')

/** Of the protocol, all those whose value is bytes with their length in front: DECIMAL, VARCHAR, BIT, VECTOR, and from JSON to GEOMETRY. */
const textTypes: ReadonlySet<number | undefined> = new Set([0, 15, 16, 242, 245, 246, 247, 248, 249, 250, 251, 252, 253, 254, 255])

/** Whether a column comes as the bytes of its text in the binary protocol too, with nothing to be added. */
export const isText = ({ columnType, flags }: Column): boolean =>
  textTypes.has(columnType) && typeof flags === 'number' && (flags & zerofill) === 0

const notText: ReadonlySet<TypeCastField['type']> = new Set([
  'TINY', 'SHORT', 'LONG', 'INT24', 'LONGLONG', 'YEAR', 'FLOAT', 'DOUBLE', 'DATE', 'NEWDATE', 'DATETIME', 'TIMESTAMP', 'TIME',
])

/** The driver's hook for the binary protocol: numbers and dates as the driver reads them, all else as its bytes. */
export const castBinary = (field: TypeCastField, next: TypeCastNext): unknown =>
  notText.has(field.type) ? next() : bytesOf(field.buffer())

// Column types of the protocol.
const float = 4
const double = 5
const timestamp = 7
const time = 11
const datetime = 12

const zerofill = 64
/** `decimals` of a FLOAT or DOUBLE without a fixed number of them. */
const notFixed = 31

/** The text of a value that `castBinary` gave, or of the bytes of a column that `isText`. */
export const columnText = (value: unknown, column: Column): ByteString | null => {
  if (Buffer.isBuffer(value)) return bytesOf(value)
  if (value === null || value === undefined) return null
  return withZeros(plainText(value, column), column) as ByteString
}

const plainText = (value: unknown, { columnType, decimals }: Column): string => {
  if (typeof value === 'string') {
    return columnType === time || columnType === datetime || columnType === timestamp ? withFraction(value, decimals) : value
  }
  if (typeof value === 'number') {
    if (columnType !== float && columnType !== double) return String(value)
    return decimals < notFixed ? fixed(value, decimals) : shortest(value, columnType === float)
  }
  throw new TypeError(`column type ${columnType ?? '?'} came as ${typeof value}`)
}

/** ZEROFILL: the column's display width, which the text protocol fills and the binary one leaves out. */
const withZeros = (text: string, { flags, columnLength }: Column): string =>
  typeof flags === 'number' && (flags & zerofill) !== 0 ? text.padStart(columnLength ?? 0, '0') : text

/** All the digits of a second that the column has; the driver leaves out zeros. More than six means: as many as it takes. */
const withFraction = (text: string, decimals: number): string => {
  const [whole = '', fraction = ''] = text.split('.')
  const digits = decimals <= 6 ? decimals : fraction === '' ? 0 : 6
  return digits === 0 ? whole : `${whole}.${fraction.padEnd(digits, '0').slice(0, digits)}`
}

const signOf = (value: number): string => value < 0 || Object.is(value, -0) ? '-' : ''

/** Decimal digits that stand for `exact` after rounding; a tie goes to the even digit, where JavaScript takes the larger. */
const tieToEven = (rounded: string, exact: string): string => {
  const kept = exact.slice(0, rounded.length)
  return /^\.?50*$/.test(exact.slice(rounded.length)) && /[02468]\.?$/.test(kept) ? kept : rounded
}

/** DIGITS of 0.DIGITS times ten to the power of `point`, as few as mean the same number. */
const decimal = (size: number): { readonly digits: string, readonly point: number } => {
  const [mantissa = '', exponent = ''] = size.toExponential().split('e')
  return { digits: mantissa.replace('.', ''), point: Number(exponent) + 1 }
}

const plainNotation = (digits: string, point: number): string => {
  if (point <= 0) return `0.${'0'.repeat(-point)}${digits}`
  return digits.length <= point ? digits.padEnd(point, '0') : `${digits.slice(0, point)}.${digits.slice(point)}`
}

const fixed = (value: number, decimals: number): string => {
  const size = Math.abs(value)
  const { digits, point } = decimal(size)
  if (digits.length - point > decimals) return signOf(value) + tieToEven(size.toFixed(decimals), size.toFixed(100))
  const [whole = '', fraction = ''] = plainNotation(digits, point).split('.')
  return signOf(value) + (decimals === 0 ? whole : `${whole}.${fraction.padEnd(decimals, '0')}`)
}

const floatDigits = 6
const maxPoint = 15

const shortest = (value: number, isFloat: boolean): string => {
  const sign = signOf(value)
  const size = Math.abs(value)
  if (size === 0) return `${sign}0`
  const { digits, point } = decimal(isFloat ? asFloat(size) : size)
  if (point <= maxPoint && point > -maxPoint) return sign + plainNotation(digits, point)
  return `${sign}${digits.slice(0, 1)}${digits.length > 1 ? `.${digits.slice(1)}` : ''}e${point - 1}`
}

/** The number with at most six digits that is nearest. */
const asFloat = (size: number): number => {
  const [mantissa = '', exponent = ''] = size.toExponential(floatDigits - 1).split('e')
  const [exact = ''] = size.toExponential(100).split('e')
  return Number(`${tieToEven(mantissa, exact)}e${exponent}`)
}
