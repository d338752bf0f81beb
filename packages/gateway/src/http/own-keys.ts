import { compileGlob, GlobError } from '@tidemark/shared/detection/rules/glob'
import type { Principal } from '../access/principal.ts'
import { RequestFault } from './problem.ts'

type Caller = Pick<Principal, 'keyPrefix'>

/**
 * Whether a caller may write and read a key. An API key that is bound to a prefix has those that
 * begin with it: this is the boundary between tenants. Null: what belongs to no key.
 */
export function mayUse({ keyPrefix }: Caller, key: string | null): boolean {
  return keyPrefix === '' || key?.startsWith(keyPrefix) === true
}

/** Whether every key that a pattern can match begins with the prefix of the caller. */
export function mayUsePattern({ keyPrefix }: Caller, pattern: unknown): boolean {
  if (keyPrefix === '') return true
  if (typeof pattern !== 'string') return false
  try {
    return compileGlob(pattern).every(({ prefix }) => prefix.startsWith(keyPrefix))
  } catch (error) {
    if (!(error instanceof GlobError)) throw error
    return false
  }
}

/** Throws a RequestFault unless the caller may write and read the key. */
export function requireKey(caller: Caller, key: string): void {
  if (!mayUse(caller, key)) throw keyForbidden(caller)
}

export function keyForbidden({ keyPrefix }: Caller): RequestFault {
  return new RequestFault({ kind: 'key-forbidden', keyPrefix })
}
