/** Ways to feed a decoder: whole, cut at each place, byte by byte, and at random from a seed that can be repeated. */

/** What both decoders have in common. */
export type Decoder = {
  push(chunk: Buffer, onPiece: (buffer: Buffer, start: number, end: number) => void): string | null
  readonly pending: boolean
  readonly heldBytes: number
}

/** What came out: each piece as a latin1 string, and the error if there was one. */
export type Fed = { readonly pieces: readonly string[], readonly error: string | null }

/** Feeds `chunks` one after the other; `watch` looks at the decoder after each. */
export const feed = (decoder: Decoder, chunks: readonly Buffer[], watch?: (decoder: Decoder) => void): Fed => {
  const pieces: string[] = []
  let error: string | null = null
  for (const chunk of chunks) {
    // A copy that is overwritten afterwards: a piece read later than in its call would come out as 0xEE.
    const lent = Buffer.from(chunk)
    error = decoder.push(lent, (buffer, start, end) => {
      pieces.push(buffer.toString('latin1', start, end))
    })
    lent.fill(0xee)
    watch?.(decoder)
  }
  return { pieces, error }
}

export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

/** Chunks as a test names them. */
export const shown = (chunks: readonly Buffer[]): string =>
  chunks.map(chunk => JSON.stringify(chunk.toString('latin1'))).join(' ')

/** `whole` in one piece, in two at each place, and in single bytes. */
export const cuts = (whole: Buffer): Buffer[][] => [
  [whole],
  ...Array.from({ length: whole.length + 1 }, (_, at) => [whole.subarray(0, at), whole.subarray(at)]),
  Array.from(whole, (_, at) => whole.subarray(at, at + 1)),
]

/** Whole numbers below `bound`, the same for the same seed (a linear congruential generator, high bits). */
export const random = (seed: number): (bound: number) => number => {
  let state = seed >>> 0
  return bound => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor(state / 0x1_0000_0000 * bound)
  }
}

/** A seed for this run, or the one in FUZZ_SEED to repeat an earlier run. */
export const fuzzSeed = (): number => Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x1_0000_0000))

/** `whole` in chunks of 1 to 12 bytes. */
export const randomCuts = (whole: Buffer, below: (bound: number) => number): Buffer[] => {
  const chunks: Buffer[] = []
  for (let at = 0; at < whole.length;) {
    const size = 1 + below(12)
    chunks.push(whole.subarray(at, at + size))
    at += size
  }
  return chunks
}

/** Makes bytes for a fuzz run: noise of the letters that a grammar uses, or an example with a few bytes changed. */
export const fuzzed = (examples: readonly Buffer[], letters: Buffer, below: (bound: number) => number): Buffer => {
  const letter = (): number => below(4) === 0 ? below(256) : letters[below(letters.length)] ?? 0
  const example = examples[below(examples.length)]
  if (example === undefined || below(2) === 0) return Buffer.from(Array.from({ length: below(40) }, letter))
  const changed = [...example]
  for (let change = 1 + below(3); change > 0; change--) {
    const at = below(changed.length + 1)
    switch (below(4)) {
      case 0: changed[Math.min(at, changed.length - 1)] = letter()
        break
      case 1: changed.splice(at, 1)
        break
      case 2: changed.splice(at, 0, letter())
        break
      default: changed.splice(at, 0, ...example)
    }
  }
  return Buffer.from(changed)
}
