import assert from 'node:assert/strict'
import { EMPTY_DOCUMENT } from '../../detection/rules/document.ts'
import { RULE_CHANGES_KEPT, type RuleStore } from '../ports/rules.ts'
import type { Data, Rules } from './data.ts'
import { keepNewest } from './log.ts'

export function newRules(): Rules {
  return { document: EMPTY_DOCUMENT, changes: [] }
}

export function rulesOn({ rules }: Data): RuleStore {
  return {
    version: async () => rules.document.version,
    document: async () => structuredClone(rules.document),
    async replace(document, change) {
      assert.equal(change.version, document.version, 'the change has the version of the document')
      if (rules.document.version !== document.version - 1) return false
      rules.document = structuredClone(document)
      rules.changes.push(structuredClone(change))
      keepNewest(rules.changes, RULE_CHANGES_KEPT)
      return true
    },
    changes: async ({ upTo = Number.POSITIVE_INFINITY, count }) =>
      structuredClone(
        rules.changes
          .filter(({ version }) => version <= upTo)
          .toReversed()
          .slice(0, count),
      ),
  }
}
