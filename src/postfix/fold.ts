/**
 * How Postfix makes keys of different case one key: its casefold(), which is
 * Unicode's full case folding (CaseFolding.txt, status C and F) where
 * smtputf8_enable is on, and lower case for ASCII either way. Where it is off, every
 * byte beyond ASCII stands by itself in a key (proto/text.ts), and has no case.
 *
 * Bugs: the tables are Node's, so letters younger than the installed Postfix's
 * ICU may fold here and not there.
 */
import { byteString } from '../outcome.js'

/** Cherokee, the one script that folds to its capitals. */
const cherokee = /[\u13a0-\u13ff\uab70-\uabbf]/

const foldLetter = (letter: string): string => {
  // The dotless i has I for its capital, yet isn't an i.
  if (letter === '\u0131') return letter
  if (cherokee.test(letter)) return letter.toUpperCase()
  let folded = ''
  // Down first for the capital sharp s, whose capital is itself; then up and down: ß ss, ſ s, ς σ.
  for (const capital of letter.toLowerCase().toUpperCase()) folded += capital.toLowerCase()
  return folded
}

/** Letter by letter, since lower case depends on the letters around it and folding doesn't. */
const foldLetters = (key: string): string => {
  let folded = ''
  for (const letter of key) folded += foldLetter(letter)
  return folded
}

/** The key as Postfix would ask a table that folds keys. Idempotent. */
export const fold = (key: string): string => {
  // The common case by far is a key of ASCII: it has its lower case as its folding, and mostly is that already.
  let isLower = true
  for (let at = 0; at < key.length; at++) {
    const unit = key.charCodeAt(at)
    if (unit > 0x7f) return foldLetters(key)
    if (unit >= 0x41 && unit <= 0x5a) isLower = false
  }
  return isLower ? key : key.toLowerCase()
}

/** A key as a Postfix without smtputf8_enable knows it: every byte beyond ASCII by itself. */
export const asBytes = (key: string): string => /^[\x00-\x7f]*$/.test(key) ? key
  : byteString(key).replace(/[\x80-\xff]/g, byte => String.fromCharCode(0xdc00 + byte.charCodeAt(0)))

/** Whether a byte of the key stands by itself. */
export const hasStrayBytes = (key: string): boolean => /[\udc80-\udcff]/u.test(key)
