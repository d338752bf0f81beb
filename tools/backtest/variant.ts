import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import type { DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { EMPTY_DOCUMENT, type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { createPolicy } from '@tidemark/shared/detection/rules/policy'
import { RuleError } from '@tidemark/shared/detection/rules/rule'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { Failure } from '../lib/options.ts'

/** A detector or a set of rules: one row of the result table. */
export interface Variant {
  readonly name: string
  policyOf(key: string): Policy
}

/** Returns the variant that scores every key by one detector with its defaults. */
export function detectorVariant(detector: DetectorName): Variant {
  const policy = createPolicy({ detector }, VERDICT_DEFAULTS)
  return { name: detector, policyOf: () => policy }
}

/** Reads rules from a file: a rule, an array of rules, or an object with member `rules`. */
export async function rulesVariant(path: string, name: string): Promise<Variant> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new Failure(`cannot read the rules ${name}: no such file, or no permission`, { cause: error })
  }
  const rules = readRules(text, name)
  return { name: basename(name), policyOf: key => rules.policies[rules.resolve(key)] as Policy }
}

function readRules(text: string, name: string): RuleSet {
  try {
    const parsed: unknown = JSON.parse(text)
    let document: RuleDocument = EMPTY_DOCUMENT
    for (const rule of rulesIn(parsed)) document = withRule(document, rule, { who: 'backtest', why: name, at: 0 })
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
  const list = Array.isArray(parsed)
    ? parsed
    : isObject(parsed) && Array.isArray(parsed.rules)
      ? parsed.rules
      : [parsed]
  return list.map(item => (isObject(item) && isObject(item.rule) ? item.rule : item))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
