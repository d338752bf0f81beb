import type { RuleDocument } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import type { VerdictSettings } from '@tidemark/shared/verdict/analysis'

export interface RulesInForce {
  readonly document: RuleDocument
  readonly set: RuleSet
}

export type RuleSets = (store: RuleStore) => Promise<RulesInForce>

/**
 * Returns the rules in force, compiled once per version: compiling a thousand takes tens of
 * milliseconds.
 */
export function createRuleSets(settings: VerdictSettings): RuleSets {
  let newest: RulesInForce | undefined
  return async store => {
    const version = await store.version()
    if (newest?.document.version === version) return newest
    const document = await store.document()
    const found = { document, set: new RuleSet(document, settings) }
    newest = found
    return found
  }
}
