import { z } from '@hono/zod-openapi'
import type { RuleChange, RuleDocument } from '@tidemark/shared/detection/rules/document'
import { text } from '@tidemark/shared/detection/rules/fields'
import { RuleError } from '@tidemark/shared/detection/rules/rule'
import type { FieldFault } from '@tidemark/shared/parsing/issues'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Logger } from 'pino'
import type { GatewayConfig } from '../config.ts'
import { problem } from '../http/documentation.ts'
import type { FieldsReader } from '../http/json-body.ts'
import { createLimiter } from '../http/limiter.ts'
import { RequestFault } from '../http/problem.ts'
import type { RuleSets } from './rule-sets.ts'

/**
 * Changes through one gateway run one at a time, so that only those through other gateways can
 * conflict.
 */
const CHANGE_LIMITS = { concurrent: 1, waitingMax: 100 } as const
const ATTEMPTS_MAX = 10

/**
 * Pause after a conflict: without randomness, gateways in step would keep losing to the same one.
 */
const PAUSE_MAX_MS = 10

/** What the routes of this folder need. */
export interface RulesOptions {
  readonly config: GatewayConfig
  readonly log: Logger
  /** Throws a RequestFault while the store is not open. */
  readonly services: () => { readonly store: Store }
  readonly ruleSets: RuleSets
  readonly readFields: FieldsReader
  /** Unix milliseconds. */
  readonly now: () => number
}

/** What the routes that change rules need besides. */
export interface ChangeOptions extends RulesOptions {
  readonly changeRules: ChangeRules
}

export interface WantedChange {
  readonly kind: RuleChange['kind']
  readonly id: string | null
  readonly content: unknown
  readonly who: string
  readonly why: string
  /** Unix milliseconds. */
  readonly at: number
  /** The version to change; undefined for the one in force. */
  readonly ifMatch: number | undefined
}

export interface ChangeOutcome {
  readonly before: RuleDocument
  readonly after: RuleDocument
}

/**
 * Changes the rules by compare-and-set. `apply` makes the next document from the one in force, and
 * is called again if another gateway changed that in between. The outcome is undefined if `apply`
 * returns undefined.
 */
export interface ChangeRules {
  (store: RuleStore, wanted: WantedChange, apply: (document: RuleDocument) => RuleDocument): Promise<ChangeOutcome>
  (
    store: RuleStore,
    wanted: WantedChange,
    apply: (document: RuleDocument) => RuleDocument | undefined,
  ): Promise<ChangeOutcome | undefined>
}

export function createChangeRules(): ChangeRules {
  const limited = createLimiter(CHANGE_LIMITS)
  return ((store, wanted, apply) => limited(() => change(store, wanted, apply))) as ChangeRules
}

async function change(
  store: RuleStore,
  { ifMatch, ...wanted }: WantedChange,
  apply: (document: RuleDocument) => RuleDocument | undefined,
): Promise<ChangeOutcome | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const before = await store.document()
    if (ifMatch !== undefined && ifMatch !== before.version) {
      throw new RequestFault({ kind: 'version-changed', version: before.version })
    }
    const after = applyTo(before, apply)
    if (after === undefined) return undefined
    if (await store.replace(after, { ...wanted, version: after.version })) return { before, after }
    await pause(Math.random() * PAUSE_MAX_MS)
  }
  throw new RequestFault({ kind: 'overloaded', reason: 'other changes of the rules kept conflicting', retryAfterS: 1 })
}

function applyTo(before: RuleDocument, apply: (document: RuleDocument) => RuleDocument | undefined) {
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

/**
 * Who deletes something, and why: parameters, because many clients and proxies send no body with a
 * DELETE.
 */
export const deletionQuery = z.strictObject({
  who: z.string('is missing').pipe(text).describe('Who deletes it.'),
  why: z.string('is missing').pipe(text).describe('Why.'),
})

/** Who changes something, and why, in a body. */
export const noteFields = { who: text, why: text }

export const VERSION_PROBLEM = {
  412: problem('The rules are at another `version` than If-Match says.', 'version-changed'),
}

/**
 * A member of a body that `read` validates and that is kept as it was written. `read` throws a
 * RuleError.
 */
export function writtenMember(read: (input: unknown) => unknown) {
  return z.unknown().superRefine((input, context) => {
    for (const { field, detail } of faultsOf(read, input)) {
      context.addIssue({ code: 'custom', path: field === '' ? [] : [field], message: detail })
    }
  })
}

function faultsOf(read: (input: unknown) => unknown, input: unknown): readonly FieldFault[] {
  try {
    read(input)
    return []
  } catch (error) {
    if (error instanceof RuleError) return error.fields
    throw error
  }
}
