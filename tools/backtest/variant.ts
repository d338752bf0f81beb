import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import type { DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { EMPTY_DOCUMENT, type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { createPolicy } from '@tidemark/shared/detection/rules/policy'
import { RuleError } from '@tidemark/shared/detection/rules/rule'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { BacktestFailure } from './failure.ts'

/** One way of judging: what stands in one row of the table. */
export interface Variant {
  readonly name: string
  policyOf(key: string): Policy
}

/** Every key by one detector with its defaults. */
export function detectorVariant(detector: DetectorName): Variant {
  const policy = createPolicy({ detector }, VERDICT_DEFAULTS)
  return { name: detector, policyOf: () => policy }
}

/** Keys by the rules in a file: one rule, an array of rules, or an object with the array as `rules`. */
export async function rulesVariant(path: string, name: string): Promise<Variant> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new BacktestFailure(`cannot read the rules ${name}: there is no such file, or it may not be read`, {
      cause: error,
    })
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
    if (error instanceof RuleError) throw new BacktestFailure(`${name}: ${error.message}`, { cause: error })
    if (error instanceof SyntaxError) {
      throw new BacktestFailure(`the rules ${name} are no JSON: ${error.message}`, { cause: error })
    }
    throw error
  }
}

/** Kept rules, as GET /rules shows them, stand in a `rule` of their own. */
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
