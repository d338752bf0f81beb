import {
  EMPTY_DOCUMENT,
  parseRuleChange,
  parseRuleDocument,
  type RuleChange,
  type RuleDocument,
} from '../../detection/rules/document.ts'
import type { Keys } from '../keys.ts'
import { StoreError } from '../ports/errors.ts'
import { RULE_CHANGES_KEPT, type RuleStore } from '../ports/rules.ts'
import { mapErrors } from './errors.ts'
import type { RedisStoreOptions } from './options.ts'
import type { ScriptClient } from './scripts.ts'

export interface RuleStoreOptions {
  readonly client: ScriptClient
  readonly keys: Pick<Keys, 'rules' | 'ruleChanges'>
  readonly options: Pick<RedisStoreOptions, 'onFailure'>
}

export function createRuleStore({ client, keys, options }: RuleStoreOptions): RuleStore {
  const { rules, ruleChanges } = keys
  return {
    version: () => mapErrors(async () => Number((await client.hget(rules, 'version')) ?? 0)),

    document: () =>
      mapErrors(async () => {
        const text = await client.hget(rules, 'document')
        return text === null ? EMPTY_DOCUMENT : parseDocument(text, rules)
      }),

    replace: (document, change) =>
      mapErrors(async () => {
        const { version } = document
        const texts = [JSON.stringify(document), JSON.stringify(change)]
        return (await client.replaceRules(rules, ruleChanges, version - 1, version, ...texts, RULE_CHANGES_KEPT)) === 1
      }),

    changes: ({ upTo = Number.POSITIVE_INFINITY, count }) =>
      mapErrors(async () => {
        const kept = await client.xrevrange(ruleChanges, '+', '-')
        const changes = kept.flatMap(([id, [, text]]) => parseChange(text, id, options) ?? [])
        return changes.filter(({ version }) => version <= upTo).slice(0, count)
      }),
  }
}

/** Without its rules nothing can be judged, so a document that cannot be read is an error. */
function parseDocument(text: string, key: string): RuleDocument {
  const document = parseRuleDocument(text)
  if (document !== undefined) return document
  throw new StoreError(`the field "document" of the Redis key ${key} is not a rule document`, { kind: 'fatal' })
}

/** The list of changes is a record for people: one that cannot be read is left out. */
function parseChange(
  text: string | undefined,
  id: string,
  { onFailure }: Pick<RedisStoreOptions, 'onFailure'>,
): RuleChange | undefined {
  const change = parseRuleChange(text ?? '')
  if (change === undefined) onFailure(new Error(`the stored rule change ${id} cannot be read; it is left out`))
  return change
}
