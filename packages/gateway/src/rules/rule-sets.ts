import type { RuleDocument } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import type { VerdictSettings } from '@tidemark/shared/verdict/analysis'
import type { RoutesOptions } from '../services.ts'

export interface RulesInForce {
  readonly document: RuleDocument
  readonly set: RuleSet
}

export interface RuleSets {
  (store: RuleStore): Promise<RulesInForce>
  /** Compiles rules that are not in force. Throws a RuleError where they are invalid. */
  compile(document: RuleDocument): RuleSet
}

/** What the routes that read rules need. */
export interface RulesOptions extends RoutesOptions {
  readonly ruleSets: RuleSets
}

/** Returns the rules in force, compiled once per document: a thousand take tens of milliseconds. */
export function createRuleSets(settings: VerdictSettings): RuleSets {
  let newest: (RulesInForce & { readonly digest: string }) | undefined
  const compile = (document: RuleDocument): RuleSet => new RuleSet(document, settings)
  const inForce = async (store: RuleStore): Promise<RulesInForce> => {
    if (newest !== undefined && newest.digest === (await store.digest())) return newest
    const { document, digest } = await store.load()
    newest = { document, digest, set: compile(document) }
    return newest
  }
  return Object.assign(inForce, { compile })
}
