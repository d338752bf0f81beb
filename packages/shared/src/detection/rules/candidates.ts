import type { KeptRule } from './document.ts'
import type { Glob } from './glob.ts'

export interface Candidate {
  readonly glob: Glob
  /** An index of `RuleSet.policies`. */
  readonly policy: number
  readonly kept: KeptRule
  readonly isShadow: boolean
}

interface Ranked {
  /** Its position among all candidates, the most specific first. */
  readonly rank: number
  readonly candidate: Candidate
}

/** Candidates by literal prefix or suffix, so that few of a thousand rules are tested on a key. */
export class CandidateIndex {
  readonly #byPrefix: AnchorIndex
  readonly #bySuffix: AnchorIndex

  constructor(candidates: readonly Candidate[]) {
    const ranked = candidates.map((candidate, rank) => ({ rank, candidate }))
    const isByPrefix = ({ candidate: { glob } }: Ranked): boolean => glob.prefix.length >= glob.suffix.length
    this.#byPrefix = new AnchorIndex(ranked.filter(isByPrefix), 'prefix')
    const others = ranked.filter(one => !isByPrefix(one))
    this.#bySuffix = new AnchorIndex(others, 'suffix')
  }

  find(key: string): Candidate | undefined {
    const first = this.#byPrefix.find(key, undefined)
    return this.#bySuffix.find(key, first)?.candidate
  }

  /** Returns one candidate of each matching rule, the most specific first. */
  findAll(key: string): Candidate[] {
    const rules = new Set<string>()
    return [...this.#byPrefix.anchoredIn(key), ...this.#bySuffix.anchoredIn(key)]
      .toSorted((a, b) => a.rank - b.rank)
      .map(({ candidate }) => candidate)
      .filter(({ kept, glob }) => {
        const isFirst = !rules.has(kept.rule.id) && glob.matches(key)
        if (isFirst) rules.add(kept.rule.id)
        return isFirst
      })
  }
}

const NONE: readonly Ranked[] = []

class AnchorIndex {
  readonly #anchor: 'prefix' | 'suffix'
  readonly #candidates = new Map<string, Ranked[]>()
  readonly #lengths: readonly number[]

  constructor(ranked: readonly Ranked[], anchor: 'prefix' | 'suffix') {
    this.#anchor = anchor
    for (const one of ranked) {
      const text = one.candidate.glob[anchor]
      const same = this.#candidates.get(text)
      if (same === undefined) this.#candidates.set(text, [one])
      else same.push(one)
    }
    this.#lengths = [...new Set([...this.#candidates.keys()].map(({ length }) => length))].toSorted((a, b) => b - a)
  }

  /** Returns the most specific match if it is more specific than `known`; otherwise `known`. */
  find(key: string, known: Ranked | undefined): Ranked | undefined {
    let best = known
    for (const length of this.#lengths) {
      for (const one of this.#withAnchorOf(key, length)) {
        if (best !== undefined && one.rank > best.rank) break
        if (!one.candidate.glob.matches(key)) continue
        best = one
        break
      }
    }
    return best
  }

  /** Returns the candidates whose anchor the key has. */
  anchoredIn(key: string): Ranked[] {
    return this.#lengths.flatMap(length => this.#withAnchorOf(key, length))
  }

  #withAnchorOf(key: string, length: number): readonly Ranked[] {
    if (length > key.length) return NONE
    const anchor = this.#anchor === 'prefix' ? key.slice(0, length) : key.slice(key.length - length)
    return this.#candidates.get(anchor) ?? NONE
  }
}

/** The criteria of specificity in order of precedence, each with its wording in an explanation. */
export const SPECIFICITY: readonly {
  readonly compare: (a: Candidate, b: Candidate) => number
  readonly because: (other: string) => string
}[] = [
  {
    compare: (a, b) => b.glob.literals - a.glob.literals,
    because: other => `has more literal characters than ${other}`,
  },
  { compare: (a, b) => a.glob.runs - b.glob.runs, because: other => `has fewer * than ${other}` },
  { compare: (a, b) => b.glob.classes - a.glob.classes, because: other => `has more [...] than ${other}` },
  { compare: (a, b) => b.glob.ones - a.glob.ones, because: other => `has more ? than ${other}` },
  {
    compare: (a, b) => b.kept.version - a.kept.version,
    because: other => `is as specific as ${other}, but its rule was changed later`,
  },
  {
    compare: (a, b) => (a.kept.rule.id < b.kept.rule.id ? -1 : Number(a.kept.rule.id > b.kept.rule.id)),
    because: other => `is as specific as ${other}, but its rule comes first by name`,
  },
]

/** Compares candidates, the more specific first; 0 only for two alternatives of one rule. */
export function compareSpecificity(a: Candidate, b: Candidate): number {
  return SPECIFICITY.reduce((order, { compare }) => order || compare(a, b), 0)
}
