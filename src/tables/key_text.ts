/**
 * Texts and conditions that depend on a lookup's key alone, as plain data: what
 * a query compares its columns with. They are worked out without the server,
 * for keys in printable ASCII, and the other way round: from the texts to a key.
 */
import { addressOf, labelsOf, partOf } from './expansion.js'
import type { Address, Expansion, Part } from './expansion.js'

/** Pieces put together: plain text, a part of the key, or what SUBSTRING_INDEX cuts from another text. */
export type KeyText = readonly KeyPiece[]
export type KeyPiece =
  | string
  | Expansion
  | { readonly cut: KeyText, readonly delimiter: string, readonly count: number }

/** Whether the text is LIKE the pattern, or is not. */
export type KeyTest = { readonly text: KeyText, readonly pattern: string, readonly isNegated: boolean }

/** SUBSTRING_INDEX of MySQL: what stands before the delimiter's nth occurrence, or after it, counted from the end. */
const substringIndex = (text: string, delimiter: string, count: number): string => {
  const parts = text.split(delimiter)
  return (count > 0 ? parts.slice(0, count) : parts.slice(count)).join(delimiter)
}

/** The text for a folded key, taken apart. */
export const evaluate = (text: KeyText, address: Address): string => {
  let value = ''
  for (const piece of text) {
    if (typeof piece === 'string') value += piece
    else if ('part' in piece) value += partOf(address, piece.part)
    else value += substringIndex(evaluate(piece.cut, address), piece.delimiter, piece.count)
  }
  return value
}

/** Whether the key passes. Case makes no difference. */
export const passes = ({ text, pattern, isNegated }: KeyTest, address: Address): boolean => {
  const regex = pattern.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('%', '[^]*').replaceAll('_', '[^]')
  return new RegExp(`^${regex}$`, 'i').test(evaluate(text, address)) !== isNegated
}

/** Whether a part of the key stands in it. */
export const hasPart = (text: KeyText): boolean => text.some(piece => typeof piece !== 'string')

/** The part of the key that the text is, and nothing else; null if it is more. */
export const onlyPart = (text: KeyText): Part | null => {
  const [piece] = text
  return text.length === 1 && typeof piece === 'object' && 'part' in piece ? piece.part : null
}

/** Reads the parts of a key out of what a text was for it. */
const readParts = (text: KeyText, value: string, parts: Map<Part, string>): void => {
  const seen: Part[] = []
  let regex = ''
  for (const piece of text) {
    if (typeof piece === 'string') regex += piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    else if ('part' in piece) {
      seen.push(piece.part)
      regex += piece.part === 'all' || piece.part === 'user' ? '(.*)' : piece.part === 'domain' ? '([^@]*)' : '([^.@]*)'
    } else {
      if (text.length === 1) readParts(piece.cut, value, parts)
      regex += '.*'
    }
  }
  const [, ...found] = new RegExp(`^${regex}$`).exec(value) ?? []
  for (const [index, part] of seen.entries()) parts.set(part, found[index] ?? '')
}

/** A key for which the texts are these values, with parts made up where they don't say; null if none is found. */
export const keyWith = (texts: readonly KeyText[], values: readonly string[]): string | null => {
  const parts = new Map<Part, string>()
  for (const [index, text] of texts.entries()) readParts(text, values[index] ?? '', parts)
  const numbers = [...parts.keys()].filter(part => typeof part === 'number').sort((a, b) => b - a)
  const labels = numbers.map(label => parts.get(label) ?? '')
  const domain = parts.get('domain') ?? (labels.length > 0 ? labels.join('.') : 'holdfast.invalid')
  for (const key of [parts.get('all'), `${parts.get('user') ?? 'holdfast-check'}@${domain}`]) {
    if (key === undefined) continue
    const address = addressOf(key)
    const hasLabels = labels.length <= labelsOf(address.domain ?? '').length
    if (hasLabels && texts.every((text, index) => evaluate(text, address) === values[index])) return key
  }
  return null
}
