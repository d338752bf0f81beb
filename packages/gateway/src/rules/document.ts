import { z } from '@hono/zod-openapi'
import type { RuleChange, RuleDocument } from '@tidemark/shared/detection/rules/document'
import { text } from '@tidemark/shared/detection/rules/fields'
import { RuleError } from '@tidemark/shared/detection/rules/rule'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import { problem } from '../http/documentation.ts'
import { createLimiter } from '../http/limiter.ts'
import { RequestFault } from '../http/problem.ts'
import type { RulesOptions } from './rule-sets.ts'

/** Changes through one gateway run one at a time: only those through others can conflict. */
const CHANGE_LIMITS = { concurrent: 1, waitingMax: 100 } as const
const ATTEMPTS_MAX = 10

/** Pause after a conflict: random, or gateways in step would keep losing to the same one. */
const PAUSE_MAX_MS = 10

/** What the routes that change rules need besides. */
export interface ChangeOptions extends RulesOptions {
  readonly changeRules: ReturnType<typeof createChangeRules>
}

/** A change to make, if the version in force is the one that the header names. */
type WantedChange = Omit<RuleChange, 'version'> & z.output<typeof ifMatchHeader>
type Apply = (document: RuleDocument) => RuleDocument | undefined

/**
 * Returns a function that changes the rules by compare-and-set. `apply` makes the next document
 * from the one in force, and is called again if another gateway changed that in between. It returns
 * undefined if the document does not have what is to be deleted.
 */
export function createChangeRules() {
  const limited = createLimiter(CHANGE_LIMITS)
  return (store: RuleStore, wanted: WantedChange, apply: Apply) => limited(() => change(store, wanted, apply))
}

async function change(store: RuleStore, { 'If-Match': version, ...wanted }: WantedChange, apply: Apply) {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const before = await store.document()
    if (version !== undefined && version !== before.version) {
      throw new RequestFault({ kind: 'version-changed', version: before.version })
    }
    const after = applyTo(before, apply)
    if (after === undefined) {
      throw new RequestFault({ kind: wanted.kind === 'mute_deleted' ? 'mute-unknown' : 'rule-unknown' })
    }
    if (await store.replace(after, { ...wanted, version: after.version })) return { before, after }
    await pause(Math.random() * PAUSE_MAX_MS)
  }
  throw new RequestFault({ kind: 'overloaded', reason: 'other changes of the rules kept conflicting', retryAfterS: 1 })
}

function applyTo(before: RuleDocument, apply: Apply): ReturnType<Apply> {
  try {
    return apply(before)
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    throw new RequestFault({ kind: 'fields-invalid', errors: error.fields }, { cause: error })
  }
}

/** The header that ties a change to the version of the rules that it was made for. */
export const ifMatchHeader = z.object({
  'If-Match': z
    .string()
    .regex(/^"?\d{1,15}"?$/, 'must be a version of the rules, as "12"')
    .transform(version => Number(version.replaceAll('"', '')))
    .optional()
    .openapi({
      description: 'The version of the rules to change. If another one is in force the response is 412.',
      examples: ['"12"'],
    }),
})

/** Who deletes something, and why: not in a body, because many clients send none with a DELETE. */
export const deletionQuery = z.strictObject({
  who: z.string('is missing').pipe(text).describe('Who deletes it.'),
  why: z.string('is missing').pipe(text).describe('Why.'),
})

/** Who changes something, and why, in a body. */
export const noteFields = { who: text, why: text }

export const VERSION_PROBLEM = {
  412: problem('The rules are at another `version` than If-Match says.', 'version-changed'),
}

/** A member that is kept as it was written. `read` validates it, and throws a RuleError. */
export function writtenMember(read: (input: unknown) => unknown) {
  const member = z.unknown().superRefine((input, context) => {
    try {
      read(input)
    } catch (error) {
      if (!(error instanceof RuleError)) throw error
      for (const { field, detail } of error.fields) {
        context.addIssue({ code: 'custom', path: field === '' ? [] : [field], message: detail })
      }
    }
  })
  return member.openapi({ type: 'object' })
}
