import { EMPTY_DOCUMENT, type RuleChange, type RuleDocument } from '../../detection/rules/document.ts'
import type { Keys } from '../keys.ts'
import { RULE_CHANGES_KEPT, type RuleStore } from '../ports/rules.ts'
import type { Client, ScriptRunner } from './connection.ts'
import { asked } from './errors.ts'

export function createRuleStore(client: Client & ScriptRunner, { rules, ruleChanges }: Keys): RuleStore {
  return {
    version: () => asked(async () => Number((await client.hget(rules, 'version')) ?? 0)),

    document: () =>
      asked(async () => {
        const text = await client.hget(rules, 'document')
        return text === null ? EMPTY_DOCUMENT : (JSON.parse(text) as RuleDocument)
      }),

    replace: (document, change) =>
      asked(async () => {
        const { version } = document
        const texts = [JSON.stringify(document), JSON.stringify(change)]
        return (await client.replaceRules(rules, ruleChanges, version - 1, version, ...texts, RULE_CHANGES_KEPT)) === 1
      }),

    changes: ({ upTo = Number.POSITIVE_INFINITY, count }) =>
      asked(async () => {
        const kept = await client.xrevrange(ruleChanges, '+', '-')
        const changes = kept.map(([, [, text]]) => JSON.parse(text ?? 'null') as RuleChange)
        return changes.filter(({ version }) => version <= upTo).slice(0, count)
      }),
  }
}
