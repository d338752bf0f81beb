import { basename } from 'node:path'
import type { DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { EMPTY_DOCUMENT, type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import { createPolicy, type Policy } from '@tidemark/shared/detection/rules/policy'
import { RuleError } from '@tidemark/shared/detection/rules/rule'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { Failure } from '../lib/options.ts'
import { readText } from './inputs.ts'

/** A detector or a set of rules: one row of the result table. */
export interface Variant {
  readonly name: string
  policyOf(key: string): Policy
}

interface Given {
  readonly detectors: readonly DetectorName[]
  readonly rules: readonly string[]
}

/** Returns the variants to compare, with different names. `resolve` returns the path of a file. */
export async function readVariants(given: Given, resolve: (name: string) => string): Promise<Variant[]> {
  const detectors = given.detectors.map(detectorVariant)
  const rules = await Promise.all(given.rules.map(name => rulesVariant(resolve(name), name)))
  const taken = (name: string): number => [...detectors, ...rules].filter(other => other.name === name).length
  // Files of one name in different folders have their paths.
  const named = rules.map((rule, index) => (taken(rule.name) > 1 ? { ...rule, name: given.rules[index] ?? '' } : rule))
  return [...detectors, ...named]
}

/** Returns the variant that scores every key by one detector with its defaults. */
export function detectorVariant(detector: DetectorName): Variant {
  const policy = createPolicy({ detector }, VERDICT_DEFAULTS)
  return { name: detector, policyOf: () => policy }
}

/** Reads rules from a file: a rule, an array of rules, or an object with member `rules`. */
export async function rulesVariant(path: string, name: string): Promise<Variant> {
  const rules = readRules(await readText(path, `the rules ${name}`), name)
  return { name: basename(name), policyOf: key => rules.policies[rules.resolve(key)] as Policy }
}

function readRules(text: string, name: string): RuleSet {
  try {
    let document: RuleDocument = EMPTY_DOCUMENT
    for (const rule of rulesIn(JSON.parse(text)))
      document = withRule(document, rule, { who: 'backtest', why: name, at: 0 })
    return new RuleSet(document)
  } catch (error) {
    if (error instanceof RuleError) throw new Failure(`${name}: ${error.message}`, { cause: error })
    if (error instanceof SyntaxError) {
      throw new Failure(`the rules ${name} are not valid JSON: ${error.message}`, { cause: error })
    }
    throw error
  }
}

/** Returns the rules in parsed JSON. The items of GET /rules have the rule in a member `rule`. */
function rulesIn(parsed: unknown): unknown[] {
  const given = isObject(parsed) && Array.isArray(parsed.rules) ? parsed.rules : parsed
  const list: unknown[] = Array.isArray(given) ? given : [given]
  return list.map(item => (isObject(item) && isObject(item.rule) ? item.rule : item))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
