/** Lists in main.cf: pieces between commas and blanks, where {...} is one piece and $name another parameter. */

/** A piece of a list, with the separators in front of it. */
export type ListPiece = { readonly separator: string, readonly text: string }

const isSeparator = (char: string): boolean => /[,\s]/.test(char)

/** The pieces of `value`. Separators after the last are dropped. */
export const splitList = (value: string): readonly ListPiece[] => {
  const pieces: ListPiece[] = []
  let at = 0
  for (;;) {
    const from = at
    while (at < value.length && isSeparator(value.charAt(at))) at++
    if (at === value.length) return pieces
    const start = at
    for (let depth = 0; at < value.length && (depth > 0 || !isSeparator(value.charAt(at))); at++) {
      if (value.charAt(at) === '{') depth++
      else if (value.charAt(at) === '}' && depth > 0) depth--
    }
    pieces.push({ separator: value.slice(from, start), text: value.slice(start, at) })
  }
}

/** The pieces without their separators. */
export const textsOf = (pieces: readonly ListPiece[]): readonly string[] => pieces.map(({ text }) => text)

/** The list again, with the separators that its pieces had. */
export const joinList = (pieces: readonly ListPiece[]): string =>
  pieces.map(({ separator, text }, i) => i === 0 ? text : `${separator === '' ? ' ' : separator}${text}`).join('')

/** The parameter that `text` stands for, if it is $name, ${name} or $(name) and no more; else null. */
export const referenceOf = (text: string): string | null => {
  const match = /^\$(?:(\w+)|\{(\w+)\}|\((\w+)\))$/.exec(text)
  return match?.[1] ?? match?.[2] ?? match?.[3] ?? null
}

/** Ends loops of parameters that name each other. */
const maxDepth = 20

/** `text` with the value of each $name; null if it has a condition (${name?...}) or $$, or nests too deeply. */
export const expand = (text: string, values: ReadonlyMap<string, string>, depth = 0): string | null => {
  const unknown: string[] = []
  const reference = /\$(?:(\w+)|\{(\w+)\}|\((\w+)\)|)/g
  const expanded = text.replace(reference, (dollar: string, bare?: string, braced?: string, bracketed?: string) => {
    const name = bare ?? braced ?? bracketed
    const value = name === undefined || depth === maxDepth ? null : expand(values.get(name) ?? '', values, depth + 1)
    if (value === null) unknown.push(dollar)
    return value ?? ''
  })
  return unknown.length === 0 ? expanded : null
}

/** The parameters to which `text` leads, by whatever number of others, conditions included. */
export const namesIn = (
  text: string, values: ReadonlyMap<string, string>, names: Set<string> = new Set(),
): ReadonlySet<string> => {
  for (const [, name = ''] of text.matchAll(/\$[{(]?(\w+)/g)) {
    if (names.has(name)) continue
    names.add(name)
    namesIn(values.get(name) ?? '', values, names)
  }
  return names
}

/** A table in a list: one that asks MySQL, or one made of several. */
export type ListedTable =
  | { readonly kind: 'mysql', readonly proxy: boolean, readonly name: string }
  | { readonly kind: 'union' | 'pipe', readonly proxy: boolean, readonly members: readonly string[] }

/** The table that `text` names; null for any other kind of table, or none. */
export const parseTable = (text: string): ListedTable | null => {
  const mysql = /^(proxy:)?mysql:(.+)$/s.exec(text)
  if (mysql?.[2] !== undefined) return { kind: 'mysql', proxy: mysql[1] !== undefined, name: mysql[2] }
  const compound = /^(proxy:)?(union|pipe)map:\{(.*)\}$/s.exec(text)
  if (compound?.[3] === undefined) return null
  return {
    kind: compound[2] === 'union' ? 'union' : 'pipe',
    proxy: compound[1] !== undefined,
    members: textsOf(splitList(compound[3])),
  }
}
