import { EMPTY_DOCUMENT, parseRuleChange, parseRuleDocument } from '../../detection/rules/document.ts'
import { StoreError } from '../ports/errors.ts'
import { RULE_CHANGES_KEPT, type RuleStore } from '../ports/rules.ts'
import { withStoreErrors } from './errors.ts'
import type { StoreContext } from './scripts.ts'

export function createRuleStore({ client, keys: { rules, ruleChanges }, options }: StoreContext): RuleStore {
  return withStoreErrors<RuleStore>({
    version: async () => Number((await client.hget(rules, 'version')) ?? 0),

    async document() {
      const text = await client.hget(rules, 'document')
      const document = text === null ? EMPTY_DOCUMENT : parseRuleDocument(text)
      if (document !== undefined) return document
      // Without its rules nothing can be judged.
      throw new StoreError(`the field "document" of the Redis key ${rules} is not a rule document`, { kind: 'fatal' })
    },

    async replace(document, change) {
      const { version } = document
      const texts = [JSON.stringify(document), JSON.stringify(change)]
      return (await client.replaceRules(rules, ruleChanges, version - 1, version, ...texts, RULE_CHANGES_KEPT)) === 1
    },

    async changes({ upTo = Number.POSITIVE_INFINITY, count }) {
      const kept = await client.xrevrange(ruleChanges, '+', '-')
      const changes = kept.flatMap(([id, [, text = '']]) => {
        const change = parseRuleChange(text)
        // The list is a record for people: one that cannot be read is left out.
        if (change === undefined) {
          options.onFailure(new Error(`the stored rule change ${id} cannot be read; it is left out`))
        }
        return change ?? []
      })
      return changes.filter(({ version }) => version <= upTo).slice(0, count)
    },
  })
}
