import type { KeptRule } from './document.ts'
import type { Glob } from './glob.ts'

/** One way through a rule's pattern. */
export interface Candidate {
  readonly glob: Glob
  /** Of `RuleSet.policies`. */
  readonly policy: number
  readonly kept: KeptRule
  readonly isShadow: boolean
}

interface Ranked {
  /** Its place among all, the most specific first. */
  readonly rank: number
  readonly candidate: Candidate
}

/**
 * Candidates by what their patterns begin or end with, whichever is longer: of a thousand rules only those are tried whose
 * beginning or end is the key's, the most specific first.
 */
export class CandidateIndex {
  readonly #byPrefix: AnchorIndex
  readonly #bySuffix: AnchorIndex

  constructor(candidates: readonly Candidate[]) {
    const ranked = candidates.map((candidate, rank) => ({ rank, candidate }))
    const isByPrefix = ({ candidate: { glob } }: Ranked): boolean => glob.prefix.length >= glob.suffix.length
    this.#byPrefix = new AnchorIndex(ranked.filter(isByPrefix), {
      anchorOf: glob => glob.prefix,
      cut: (key, length) => key.slice(0, length),
    })
    this.#bySuffix = new AnchorIndex(
      ranked.filter(one => !isByPrefix(one)),
      { anchorOf: glob => glob.suffix, cut: (key, length) => key.slice(key.length - length) },
    )
  }

  find(key: string): Candidate | undefined {
    const first = this.#byPrefix.find(key, undefined)
    return this.#bySuffix.find(key, first)?.candidate
  }

  /** One candidate of each rule that matches, the most specific first. */
  findAll(key: string): Candidate[] {
    const rules = new Set<string>()
    return [...this.#byPrefix.findAll(key), ...this.#bySuffix.findAll(key)]
      .toSorted((a, b) => a.rank - b.rank)
      .map(({ candidate }) => candidate)
      .filter(({ kept }) => {
        const isFirst = !rules.has(kept.rule.id)
        rules.add(kept.rule.id)
        return isFirst
      })
  }
}

interface Anchor {
  anchorOf(glob: Glob): string
  /** So much of a key as may be an anchor of that length. */
  cut(key: string, length: number): string
}

class AnchorIndex {
  readonly #anchor: Anchor
  /** Of each anchor its candidates, the most specific first. */
  readonly #candidates = new Map<string, Ranked[]>()
  /** Lengths of the anchors, the longest first. */
  readonly #lengths: readonly number[]

  constructor(ranked: readonly Ranked[], anchor: Anchor) {
    this.#anchor = anchor
    for (const one of ranked) {
      const text = anchor.anchorOf(one.candidate.glob)
      const same = this.#candidates.get(text)
      if (same === undefined) this.#candidates.set(text, [one])
      else same.push(one)
    }
    this.#lengths = [...new Set([...this.#candidates.keys()].map(({ length }) => length))].toSorted((a, b) => b - a)
  }

  /** The most specific one that matches, if it is more so than `known`; otherwise that. */
  find(key: string, known: Ranked | undefined): Ranked | undefined {
    let best = known
    for (const length of this.#lengths) {
      if (length > key.length) continue
      for (const one of this.#candidates.get(this.#anchor.cut(key, length)) ?? []) {
        if (best !== undefined && one.rank > best.rank) break
        if (!one.candidate.glob.matches(key)) continue
        best = one
        break
      }
    }
    return best
  }

  findAll(key: string): Ranked[] {
    return this.#lengths
      .filter(length => length <= key.length)
      .flatMap(length => this.#candidates.get(this.#anchor.cut(key, length)) ?? [])
      .filter(({ candidate }) => candidate.glob.matches(key))
  }
}

/** What makes a pattern more specific, in the order in which it counts; of each how it is said. */
export const SPECIFICITY: readonly {
  readonly compare: (a: Candidate, b: Candidate) => number
  readonly because: string
}[] = [
  { compare: (a, b) => b.glob.literals - a.glob.literals, because: 'has more characters that stand for themselves' },
  { compare: (a, b) => a.glob.runs - b.glob.runs, because: 'has fewer *' },
  { compare: (a, b) => b.glob.classes - a.glob.classes, because: 'has more [...]' },
  { compare: (a, b) => b.glob.ones - a.glob.ones, because: 'has more ?' },
  { compare: (a, b) => b.kept.version - a.kept.version, because: 'is as specific, and its rule was changed later' },
  {
    compare: (a, b) => (a.kept.rule.id < b.kept.rule.id ? -1 : Number(a.kept.rule.id > b.kept.rule.id)),
    because: 'is as specific, and its rule comes first by name',
  },
]

/** Orders the more specific one first; 0 only for two ways through one rule's braces. */
export function compareSpecificity(a: Candidate, b: Candidate): number {
  for (const { compare } of SPECIFICITY) {
    const order = compare(a, b)
    if (order !== 0) return order
  }
  return 0
}
