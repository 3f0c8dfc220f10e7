/**
 * How Postfix makes keys of different case one key: casefold(), which is
 * Unicode's full case folding (ICU's u_strFoldCase) where smtputf8_enable is
 * on, and plain lower case for ASCII either way.
 */

/** Unicode says that these fold to themselves, or to the small letter, though their capital's small letter is another. */
const exceptions: ReadonlyMap<string, string> = new Map([['\u0131', '\u0131'], ['\u03c2', '\u03c3']])

/** Letter by letter through the capital: ß becomes ss, ſ becomes s, ς becomes σ. */
const foldLetters = (key: string): string => {
  let folded = ''
  for (const letter of key) folded += exceptions.get(letter) ?? letter.toUpperCase().toLowerCase()
  return folded
}

/** The key as Postfix would ask a table that folds keys. Idempotent. */
export const fold = (key: string): string => {
  const lower = key.toLowerCase()
  // The common case by far. A key of ASCII has its lower case as its folding.
  for (let at = 0; at < lower.length; at++) if (lower.charCodeAt(at) > 0x7f) return foldLetters(key)
  return lower
}
