import { type FieldFault, type RuleDocument, RuleError } from '@tidemark/shared/detection/rules/rule'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { RuleChange, RuleStore } from '@tidemark/shared/store/ports/rules'
import type { Context } from 'hono'
import { z } from 'zod'
import { createTurns } from '../http/limiter.ts'
import { RequestFault } from '../http/problem.ts'

/** Changes of one gateway wait for each other, so that only those of others can be faster. */
const TURNS = { atOnce: 1, waitingMax: 100 } as const
const ATTEMPTS_MAX = 10

/** After a lost attempt: gateways that go on in step would lose to the same one again and again. */
const PAUSE_MAX_MS = 10

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
export interface ChangeRules {
  (store: RuleStore, wanted: Wanted, apply: (document: RuleDocument) => RuleDocument): Promise<Outcome>
  (
    store: RuleStore,
    wanted: Wanted,
    apply: (document: RuleDocument) => RuleDocument | undefined,
  ): Promise<Outcome | undefined>
}

export function createChangeRules(): ChangeRules {
  const inTurn = createTurns(TURNS)
  return ((store, wanted, apply) => inTurn(() => change(store, wanted, apply))) as ChangeRules
}

async function change(
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
    await pause(Math.random() * PAUSE_MAX_MS)
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
