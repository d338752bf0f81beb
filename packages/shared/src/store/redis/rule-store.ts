import {
  digestOf,
  EMPTY_DOCUMENT,
  formatRuleDocument,
  parseRuleChange,
  parseRuleDocument,
  type RuleDocument,
} from '../../detection/rules/document.ts'
import { StoreError } from '../ports/errors.ts'
import { RULE_CHANGES_KEPT, type RuleStore } from '../ports/rules.ts'
import { inOneWrite } from './connection.ts'
import { withStoreErrors } from './errors.ts'
import { readNewest } from './newest.ts'
import type { StoreContext } from './scripts.ts'

export function createRuleStore({ client, keys: { rules, ruleChanges }, options }: StoreContext): RuleStore {
  function parse(text: string | null | undefined): RuleDocument {
    const document = text == null ? EMPTY_DOCUMENT : parseRuleDocument(text)
    if (document !== undefined) return document
    // Without its rules nothing can be judged.
    throw new StoreError(`the field "document" of the Redis key ${rules} is not a rule document`, { kind: 'fatal' })
  }

  return withStoreErrors<RuleStore>({
    digest: async () => String(await client.rulesDigest(rules)),

    async load() {
      const [[text, version], [newest]] = await inOneWrite(client, () =>
        Promise.all([client.hmget(rules, 'document', 'version'), client.xrevrange(ruleChanges, '+', '-', 'COUNT', 1)]),
      )
      const document = parse(text)
      const changed = newest === undefined ? 0 : (parseRuleChange(newest[1][1] ?? '')?.version ?? 0)
      const newestVersion = Math.max(document.version, Number(version) || 0, changed)
      return { document, digest: text == null ? '' : digestOf(text), newestVersion }
    },

    async replace(document, change, before) {
      const texts = [formatRuleDocument(document), JSON.stringify(change)]
      return (
        (await client.replaceRules(rules, ruleChanges, before, document.version, ...texts, RULE_CHANGES_KEPT)) === 1
      )
    },

    changes: ({ upTo = Number.POSITIVE_INFINITY, count }) =>
      readNewest(client, ruleChanges, count, ([id, [, text = '']]) => {
        const change = parseRuleChange(text)
        // The list is a record for people: one that cannot be read is left out.
        if (change === undefined) {
          options.onFailure(new Error(`the stored rule change ${id} cannot be read; it is left out`))
        }
        return change !== undefined && change.version <= upTo ? change : undefined
      }),
  })
}
