import { signal } from '@preact/signals'
import { Client } from '@tidemark/client/client'
import { TidemarkError } from '@tidemark/client/error'
import type { Caller, Scope } from '@tidemark/client/types'

/** The gateway that the page came from. Views show failures at once, and read again. */
export const client = new Client({ retryForMs: 0, timeoutMs: 15_000 })

/** Who is signed in. Null: no one, and requests need it. Undefined: not known yet. */
export const caller = signal<Caller | null | undefined>(undefined)

export function may(scope: Scope): boolean {
  return caller.value?.scopes.includes(scope) === true
}

/** Why the gateway cannot be used at present; undefined while it can. */
export const outage = signal<TidemarkError | undefined>(undefined)

/** Returns a failed request as a value, and notes what concerns every view. */
export function toFailure(error: unknown): TidemarkError {
  const failure =
    error instanceof TidemarkError ? error : new TidemarkError(`This page failed: ${String(error)}`, { status: -1 })
  if (failure.status === 401) caller.value = null
  outage.value = failure.isTemporary ? failure : undefined
  return failure
}

export async function identify(): Promise<void> {
  try {
    caller.value = await client.session()
    outage.value = undefined
  } catch (error) {
    toFailure(error)
  }
}
