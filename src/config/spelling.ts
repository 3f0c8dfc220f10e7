/** The edit distance (Levenshtein) between two short words. */
const distance = (one: string, other: string): number => {
  let previous = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [row, letter] of Array.from(one).entries()) {
    const current = [row + 1]
    for (const [column, otherLetter] of Array.from(other).entries()) {
      current.push(Math.min(
        (previous[column + 1] ?? 0) + 1,
        (current[column] ?? 0) + 1,
        (previous[column] ?? 0) + (letter === otherLetter ? 0 : 1),
      ))
    }
    previous = current
  }
  return previous[other.length] ?? 0
}

/** The known name that is most like `word`, such as one that was misspelt so; null if none is like it. */
export const nearest = (word: string, known: readonly string[]): string | null => {
  let best: string | null = null
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const between = distance(word.toLowerCase(), candidate.toLowerCase())
    if (between < bestDistance) {
      best = candidate
      bestDistance = between
    }
  }
  return best
}

/** `; did you mean 'NAME'?` with the known name that is most like `word`; `otherwise` if none is like it. */
export const hintFor = (word: string, known: readonly string[], otherwise = ''): string => {
  const name = nearest(word, known)
  return name === null ? otherwise : `; did you mean '${name}'?`
}
