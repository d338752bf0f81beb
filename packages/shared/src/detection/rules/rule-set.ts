import { VERDICT_DEFAULTS, type VerdictSettings } from '../../verdict/analysis.ts'
import type { StormPolicy } from '../alerts/storm.ts'
import { type Candidate, CandidateIndex, compareSpecificity, SPECIFICITY } from './candidates.ts'
import { type Mute, type RuleDocument, readMute, readStorm } from './document.ts'
import { compileGlob, type Glob } from './glob.ts'
import { createPolicy, type ExpectedRange, type Policy } from './policy.ts'
import { alertOf, type Rule, readRule, setsAlert } from './rule.ts'

export const DEFAULT_POLICY = 0

export const NO_POLICY = -1

const EXPLAINED_MAX = 20

export interface Explanation {
  readonly key: string
  readonly version: number
  /** The rule in force; null for the default. */
  readonly rule: string | null
  readonly reason: string
  readonly shadow: string | null
  /** Other matching rules, the most specific first. */
  readonly others: readonly { readonly rule: string; readonly pattern: string; readonly isShadow: boolean }[]
  readonly muted: { readonly until: number; readonly who: string; readonly why: string } | null
  readonly policy: Policy
}

let compiledSets = 0

/** The compiled rules. To resolve a key takes a microsecond, so its policy's number is kept. */
export class RuleSet {
  /** Differs for each set of this process: after a loss, two sets can have one version. */
  readonly serial = ++compiledSets
  readonly version: number
  readonly #policies: Policy[]
  /** By the number of a policy that does not score rates: the number of the one that does. */
  readonly #ofCounters = new Map<number, number>()
  readonly storm: StormPolicy
  readonly hasShadows: boolean
  /** Whether a pattern has more than literal texts and *, so that to resolve a key takes long. */
  readonly isCostly: boolean
  readonly #live: CandidateIndex
  readonly #shadow: CandidateIndex
  readonly #mutes: readonly { readonly globs: readonly Glob[]; readonly mute: Omit<Mute, 'id' | 'pattern'> }[]

  /** `settings` are the deployment's defaults. Throws a RuleError when the document is invalid. */
  constructor(document: RuleDocument, settings: VerdictSettings = VERDICT_DEFAULTS) {
    this.#mutes = document.mutes.map(readMute).map(mute => ({ globs: compileGlob(mute.pattern), mute }))
    const policies = [createPolicy({}, settings)]
    const candidates: Candidate[] = []
    for (const kept of document.rules) {
      const rule = readRule(kept.rule)
      const globs = compileGlob(rule.pattern)
      for (const glob of globs) candidates.push({ glob, policy: policies.length, kept, isShadow: rule.shadow === true })
      policies.push(toPolicy(rule, kept.version, settings))
    }
    candidates.sort(compareSpecificity)
    this.version = document.version
    this.#policies = policies
    const { percent, within, keys_min } = readStorm(document.storm)
    this.storm = { share: percent / 100, withinMs: within, keysMin: keys_min }
    this.isCostly = candidates.some(({ glob }) => glob.work > 0)
    this.hasShadows = candidates.some(({ isShadow }) => isShadow)
    this.#live = new CandidateIndex(candidates.filter(({ isShadow }) => !isShadow))
    this.#shadow = new CandidateIndex(candidates.filter(({ isShadow }) => isShadow))
  }

  /** By number; number 0 is the default policy. `ofCounter` adds more. */
  get policies(): readonly Policy[] {
    return this.#policies
  }

  /**
   * Returns the number of the policy that applies to a counter where another one applies to values:
   * the same in all but that rates are scored. NO_POLICY has none.
   */
  ofCounter(number: number): number {
    const policy = this.#policies[number]
    if (policy === undefined || policy.isCounter) return number
    const known = this.#ofCounters.get(number)
    if (known !== undefined) return known
    const added = this.#policies.push({ ...policy, isCounter: true }) - 1
    this.#ofCounters.set(number, added)
    return added
  }

  resolve(key: string): number {
    return this.#live.find(key)?.policy ?? DEFAULT_POLICY
  }

  /** Returns the number of the policy of a key's shadow rule; NO_POLICY when there is none. */
  resolveShadow(key: string): number {
    return this.#shadow.find(key)?.policy ?? NO_POLICY
  }

  /** Returns a key's longest mute, of its rule in force or of the document; null for none. */
  mutedBy(key: string, now: number): Explanation['muted'] {
    let longest: Explanation['muted'] = null
    const consider = ({ until, who, why }: { until: number; who: string; why: string }): void => {
      if (until > now && until > (longest?.until ?? 0)) longest = { until, who, why }
    }
    const own = this.#live.find(key)?.kept.rule.mute
    if (own !== undefined) consider({ ...own, until: Date.parse(own.until) })
    for (const { globs, mute } of this.#mutes) {
      if (mute.until > now && globs.some(glob => glob.matches(key))) consider(mute)
    }
    return longest
  }

  explain(key: string, now: number): Explanation {
    const [winner, ...others] = this.#live.findAll(key)
    const shadow = this.#shadow.findAll(key)
    return {
      key,
      version: this.version,
      rule: winner?.kept.rule.id ?? null,
      reason: reasonFor(winner, others[0]),
      shadow: shadow[0]?.kept.rule.id ?? null,
      others: [...others, ...shadow]
        .slice(0, EXPLAINED_MAX)
        .map(({ kept, glob, isShadow }) => ({ rule: kept.rule.id, pattern: glob.text, isShadow })),
      muted: this.mutedBy(key, now),
      policy: this.policies[winner?.policy ?? DEFAULT_POLICY] as Policy,
    }
  }
}

function reasonFor(winner: Candidate | undefined, second: Candidate | undefined): string {
  if (winner === undefined) return 'no rule matches; the default policy applies'
  const matches = `${winner.glob.text} matches`
  if (second === undefined) return `${matches}; no other rule does`
  const difference = SPECIFICITY.find(({ compare }) => compare(winner, second) !== 0)
  return `${matches}; it ${difference?.because(`${second.glob.text} of ${second.kept.rule.id}`)}`
}

function toPolicy(rule: Rule, version: number, settings: VerdictSettings): Policy {
  return createPolicy(
    {
      rule: rule.id,
      version,
      detector: rule.detector,
      threshold: rule.threshold,
      budget: rule.budget,
      window: rule.window,
      samplesMin: rule.samples_min,
      direction: rule.direction,
      deviationMin: rule.deviation_min,
      deviationMinRelative: rule.deviation_min_relative,
      hygiene: { isHeld: rule.influence === 'held', levelShiftAfter: rule.level_shift_after ?? 0 },
      alert: setsAlert(rule) ? alertOf(rule) : undefined,
      silence: rule.silent === undefined ? null : { afterMs: rule.silent === 'learned' ? null : rule.silent },
      order: { refusesLate: rule.late === 'refuse', dropsDuplicates: rule.duplicates === 'drop' },
      ignored: rule.ignore === undefined ? null : new Set(rule.ignore.flatMap(formsOf)),
      isCounter: rule.counter,
      range: rangeOf(rule),
      unit: rule.unit,
    },
    settings,
  )
}

function rangeOf({ min, max }: Rule): ExpectedRange | null {
  if (min === undefined && max === undefined) return null
  return { min: min ?? Number.NEGATIVE_INFINITY, max: max ?? Number.POSITIVE_INFINITY }
}

/** A sensor may send 999.9 as a float32, which arrives as 999.9000244140625. */
function formsOf(value: number): number[] {
  const single = Math.fround(value)
  const isSame = !Number.isInteger(value) && Math.abs(single - value) <= FLOAT32_EPSILON * Math.abs(value)
  return isSame ? [value, single] : [value]
}

const FLOAT32_EPSILON = 2 ** -24
