import { type FieldFault, type RuleDocument, RuleError } from '@tidemark/shared/detection/rules'
import type { RuleChange, RuleStore } from '@tidemark/shared/store/rule-ports'
import type { Context } from 'hono'
import { z } from 'zod'
import { RequestFault } from './problem.ts'

/** Of somebody who does not say which version he changes: others may change it at the same time. */
const ATTEMPTS_MAX = 5

export interface Wanted {
  readonly kind: RuleChange['kind']
  readonly id: string | null
  readonly content: unknown
  readonly who: string
  readonly why: string
  /** Unix milliseconds. */
  readonly at: number
  /** The version that is to be changed; undefined for whatever is in force. */
  readonly ifMatch: number | undefined
}

export interface Outcome {
  readonly before: RuleDocument
  readonly after: RuleDocument
}

/**
 * Changes the rules by compare-and-set: `apply` makes the next document of the one in force, and is asked again when somebody
 * was faster. Undefined when it gives undefined.
 */
export function changeRules(
  store: RuleStore,
  wanted: Wanted,
  apply: (document: RuleDocument) => RuleDocument,
): Promise<Outcome>
export function changeRules(
  store: RuleStore,
  wanted: Wanted,
  apply: (document: RuleDocument) => RuleDocument | undefined,
): Promise<Outcome | undefined>
export async function changeRules(
  store: RuleStore,
  { ifMatch, ...wanted }: Wanted,
  apply: (document: RuleDocument) => RuleDocument | undefined,
): Promise<Outcome | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const before = await store.document()
    if (ifMatch !== undefined && ifMatch !== before.version) {
      throw new RequestFault({ kind: 'version-changed', version: before.version })
    }
    const after = applyTo(before, apply)
    if (after === undefined) return undefined
    if (await store.replace(after, { ...wanted, version: after.version })) return { before, after }
  }
  throw new RequestFault({ kind: 'overloaded', reason: 'the rules are being changed all the time', retryAfterS: 1 })
}

function applyTo(before: RuleDocument, apply: (document: RuleDocument) => RuleDocument | undefined) {
  try {
    return apply(before)
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    throw new RequestFault({ kind: 'fields-invalid', errors: error.fields }, { cause: error })
  }
}

/** The version of the rules that a change is meant for, from its If-Match; undefined for any. */
export function readIfMatch(c: Context): number | undefined {
  const header = c.req.header('If-Match')
  if (header === undefined) return undefined
  const [, version] = /^"?(\d{1,15})"?$/.exec(header) ?? []
  if (version !== undefined) return Number(version)
  const errors = [{ parameter: 'If-Match', detail: 'must be a version of the rules, as "12"' }]
  throw new RequestFault({ kind: 'parameters-invalid', errors })
}

/** A member of a body that `read` reads; it is kept as it was written. Throws what is not a RuleError. */
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
