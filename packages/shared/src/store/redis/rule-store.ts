import { EMPTY_DOCUMENT, type RuleChange, type RuleDocument } from '../../detection/rules/document.ts'
import type { Keys } from '../keys.ts'
import { RULE_CHANGES_KEPT, type RuleStore } from '../ports/rules.ts'
import type { Client, ScriptRunner } from './connection.ts'
import { asked } from './errors.ts'

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

/**
 * An object as an operator wrote it. Its fields are read with their own rules, by readRule and the
 * like, where they are used.
 */
const written = <T extends object>() => z.custom<T>(value => typeof value === 'object' && value !== null)

const changed = { who: z.string(), why: z.string(), at: z.number() }

const documentShape = z.looseObject({
  version: z.int().min(0),
  rules: z.array(z.looseObject({ rule: written<RuleInput>(), version: z.int(), changed: z.looseObject(changed) })),
  mutes: z.array(written<MuteInput>()),
  storm: written<StormInput>(),
})

const changeShape = z.looseObject({
  ...changed,
  version: z.int(),
  kind: z.enum(RULE_CHANGE_KINDS),
  id: z.string().nullable(),
  content: z.unknown(),
})

/** Without its rules nothing can be judged, so a document that cannot be read is an error. */
function parseDocument(text: string, key: string): RuleDocument {
  try {
    return documentShape.parse(JSON.parse(text))
  } catch (error) {
    const message = `the field "document" of the Redis key ${key} is not a rule document`
    throw new StoreError(message, { kind: 'fatal', cause: error })
  }
}

/** The list of changes is a record for people: one that cannot be read is left out. */
function parseChange(
  text: string | undefined,
  id: string,
  { onFailure }: Pick<RedisStoreOptions, 'onFailure'>,
): RuleChange | undefined {
  try {
    return changeShape.parse(JSON.parse(text ?? ''))
  } catch (error) {
    onFailure(new Error(`the stored rule change ${id} cannot be read; it is left out`, { cause: error }))
    return undefined
  }
}
