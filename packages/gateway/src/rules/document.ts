import { z } from '@hono/zod-openapi'
import type { RuleChange, RuleDocument } from '@tidemark/shared/detection/rules/document'
import { text } from '@tidemark/shared/detection/rules/fields'
import { RuleError } from '@tidemark/shared/detection/rules/rule'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import type { Principal } from '../access/principal.ts'
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
export function createChangeRules({ metrics }: Pick<RulesOptions, 'metrics'>) {
  const limited = createLimiter({ ...CHANGE_LIMITS, limit: 'rule_changes', metrics })
  // Operators are few: they share one limit.
  const share = { used: 0 }
  return (store: RuleStore, wanted: WantedChange, apply: Apply) => limited(share, () => change(store, wanted, apply))
}

async function change(store: RuleStore, { 'If-Match': wantedTag, ...wanted }: WantedChange, apply: Apply) {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const { document: before, digest, newestVersion } = await store.load()
    if (wantedTag !== undefined && !isTagOf(wantedTag, before.version, digest)) {
      throw new RequestFault({ kind: 'version-changed', version: before.version })
    }
    // Never a version that was given before, even if Redis has lost the rules that had it.
    const after = applyTo({ ...before, version: newestVersion }, apply, MEMBERS[wanted.kind])
    if (after === undefined) {
      throw new RequestFault({ kind: wanted.kind === 'mute_deleted' ? 'mute-unknown' : 'rule-unknown' })
    }
    if (await store.replace(after, { ...wanted, version: after.version }, digest)) return { before, after }
    await pause(Math.random() * PAUSE_MAX_MS)
  }
  throw new RequestFault({ kind: 'overloaded', reason: 'other changes of the rules kept conflicting', retryAfterS: 1 })
}

/** The member of a body that a change's faults are in; '' for the body itself. */
const MEMBERS = { rule_put: 'rule.', storm_put: 'storm.', mute_put: '', rule_deleted: '', mute_deleted: '' } as const

/** Changes a document. Throws a RequestFault with the fields of `member` that are invalid. */
export function applyTo<T>(before: RuleDocument, apply: (document: RuleDocument) => T, member: string): T {
  try {
    return apply(before)
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    const errors = error.fields.map(({ field, detail }) => ({ field: field === '' ? '' : member + field, detail }))
    throw new RequestFault({ kind: 'fields-invalid', errors }, { cause: error })
  }
}

/** Returns the entity tag of the rules: their version, which others may have had, and digest. */
export function tagOf(version: number, digest: string): string {
  return `${version}-${(digest || '0'.repeat(TAG_DIGEST)).slice(0, TAG_DIGEST)}`
}

/** Documents the header of responses with rules. */
export const RULES_TAG = {
  ETag: {
    description: 'Names these rules, for If-Match: their version and the digest of all rules.',
    schema: { type: 'string' as const },
  },
}

/** Whether a tag, which may be a version alone, names these rules. */
function isTagOf(tag: string, version: number, digest: string): boolean {
  return tag.includes('-') ? tag === tagOf(version, digest) : Number(tag) === version
}

/** Characters of the digest in an entity tag. */
const TAG_DIGEST = 12

/** The header that ties a change to the version of the rules that it was made for. */
export const ifMatchHeader = z.object({
  'If-Match': z
    .string()
    .regex(/^"?\d{1,15}(-[0-9a-f]{12})?"?$/, 'must be a version of the rules, as "12", or the ETag of a response')
    .transform(tag => tag.replaceAll('"', ''))
    .optional()
    .openapi({
      description:
        'The rules to change: their version, or the ETag of the response that was read. If others are in force the ' +
        'response is 412.',
      examples: ['"12"'],
    }),
})

const WHO_RULE = 'Required while requests need no API key; otherwise the name of the API key counts.'

/** Who deletes something, and why: not in a body, because many clients send none with a DELETE. */
export const deletionQuery = z.strictObject({
  who: z.string().pipe(text).optional().describe(`Who deletes it. ${WHO_RULE}`),
  why: z
    .string()
    .pipe(text)
    .optional()
    .openapi({ description: 'Why.', param: { required: true } }),
})

/** Returns a deletion's note: an authenticated caller is who its API key says. */
export function deletionNote({ who, why }: z.output<typeof deletionQuery>, caller: Principal) {
  const author = caller.via === 'open' ? who : caller.name
  if (author !== undefined && why !== undefined) return { who: author, why }
  const missing = [...(author === undefined ? ['who'] : []), ...(why === undefined ? ['why'] : [])]
  const errors = missing.map(parameter => ({ parameter, detail: 'is missing' }))
  throw new RequestFault({ kind: 'parameters-invalid', errors })
}

/** Documents who changes something, and why, in a body. */
export const NOTE_FIELDS = { who: text.optional().describe(WHO_RULE), why: text }

export type NoteFields = typeof NOTE_FIELDS | ReturnType<typeof noteFields>

/** The same as a caller writes it: an authenticated caller is who its API key says. */
export function noteFields(caller: Principal) {
  if (caller.via === 'open') return { who: text, why: text }
  const named = z.unknown().optional()
  return { who: named.transform(() => caller.name), why: text }
}

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
