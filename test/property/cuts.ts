/** The code that keeps each rule, and the tests that must fail when without_rules.ts takes it out. */

export type Cut = {
  readonly rule: number
  /** What is taken out, for people. */
  readonly what: string
  readonly file: string
  /** A text that occurs once in the file, and the text that replaces it. */
  readonly from: string
  readonly to: string
  /** The test file that must fail; by default invariant.test.ts. */
  readonly test?: string
}

export const cuts: readonly Cut[] = [
  {
    rule: 1, what: 'the second statement', file: 'src/lookup/known_evidence.ts',
    from: 'if (!isFirst && sinceFirstMs >= confirmForMs && !mayNotConfirm) return null', to: 'if (!mayNotConfirm) return null',
  },
  {
    rule: 2, what: 'what the snapshot brings back', file: 'src/upkeep/snapshots.ts',
    from: 'if (decoded.isForeign !== true) return known.recall(', to: 'if (decoded.isForeign !== true) return false && known.recall(',
  },
  {
    rule: 3, what: 'doubts that outlive the process', file: 'src/trust/map_trust.ts',
    from: 'const own = doubts.filter(each => places[each.table] === index)', to: 'const own = doubts.slice(0, 0)',
    test: 'test/trust/table_trust.test.ts',
  },
  {
    rule: 3, what: 'the server that a doubt is about', file: 'src/trust/table_trust.ts',
    from: 'if (this.doubts.has(server)) return doubted', to: 'if (this.doubts.size > 0) return doubted',
    test: 'test/trust/table_trust.test.ts',
  },
  {
    rule: 4, what: 'the loss that begins a doubt', file: 'src/trust/doubt.ts',
    from: 'maxShrink < 1 && missing >= minMissing && missing > asked * maxShrink', to: 'asked < 0 && maxShrink < minMissing && missing < 0',
  },
  {
    rule: 5, what: 'the clock in a query', file: 'src/daemon/open_map.ts',
    from: 'const isTimed = texts.some(asksTheTime)', to: 'const isTimed = texts.length < 0 && texts.some(asksTheTime)',
  },
  {
    rule: 6, what: 'the question for a known key', file: 'src/trust/table_trust.ts',
    from: 'const [first] = isOneMissing ? [except] : this.#sample(1, except)',
    to: 'if (!isOneMissing) return null\n    const [first] = isOneMissing ? [except] : this.#sample(1, except)',
  },
  {
    rule: 7, what: 'the other maps, without which nobody is refused in an outage', file: 'src/lookup/answers.ts',
    from: 'return wasAbsent(known, walk, now) && known.isKnownElsewhere(walk.key)', to: 'return wasAbsent(known, walk, now)',
  },
  {
    rule: 8, what: 'the comparison of a copy with its table', file: 'src/upkeep/take_copy.ts',
    from: 'if (comparable(own) === comparable(outcome)) continue', to: 'if (comparable(own) === comparable(outcome) || key !== \'\') continue',
    test: 'test/upkeep/take_copy.test.ts',
  },
  {
    rule: 9, what: 'keys that a query makes of columns with CONCAT', file: 'src/tables/condition.ts',
    from: 'if (parts === null || last === -1) return null', to: 'if (parts !== null || last === -1) return null',
    test: 'test/upkeep/field_copies.test.ts',
  },
  {
    rule: 10, what: 'the memory that a reload takes over', file: 'src/daemon/open_map.ts',
    from: 'if (isAlike && isSearchedAlike && earlier.name === map.name) return earlier.memory',
    to: 'if (isAlike && isSearchedAlike && earlier.name === map.name) return emptyMemory(config)',
  },
  {
    rule: 11, what: 'the found answer that a neighbour\'s absence does not replace', file: 'src/lookup/known.ts',
    from: 'if (theirs.outcome.kind === \'absent\' && isEvidence(ours)) return false', to: '',
  },
  {
    rule: 12, what: 'what a flush makes stale', file: 'src/lookup/known.ts',
    from: 'if (entry.verifiedAt >= at + clockSkewMs) return', to: 'if (entry.verifiedAt >= at + clockSkewMs || at > 0) return',
  },
  {
    rule: 13, what: 'the gap that shows that the process was held up', file: 'src/mysql/breaker.ts',
    from: 'before !== null && now - before.at <= longestMs ? before.since : now',
    to: 'before !== null && now - before.at <= longestMs + now ? before.since : now',
  },
  {
    rule: 14, what: 'the place that made-up keys have for themselves', file: 'src/caches/memory.ts',
    from: 'key.charCodeAt(0) === 0', to: 'key.charCodeAt(0) === -1',
  },
  {
    rule: 15, what: 'the lag of a replica', file: 'src/mysql/replica.ts',
    from: 'if (!isApplying) return `${replica} has stopped applying changes`', to: '', test: 'test/mysql/replica.test.ts',
  },
  {
    rule: 16, what: 'the patience with a slow Redis', file: 'src/lookup/read_redis.ts',
    from: 'if (known.redis?.isUsable() !== false || budgetMs <= 0) return false',
    to: 'if (known.redis?.isUsable() !== false || budgetMs < Infinity) return false',
  },
  {
    rule: 16, what: 'the save every half minute', file: 'src/upkeep/snapshots.ts',
    from: 'const saveEveryMs = 30_000', to: 'const saveEveryMs = 3_000_000',
  },
]
