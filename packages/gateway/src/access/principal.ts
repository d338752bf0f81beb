import type { KeyLimits } from '@tidemark/shared/access/api-key'
import { SCOPES, type Scope } from '@tidemark/shared/access/scope'

/** Who sent a request, and what that caller may do. */
export interface Principal {
  /** The id of the API key; `anonymous` without one. */
  readonly id: string
  /** Who: of changes of rules and alerts, and in the audit log. */
  readonly name: string
  readonly scopes: ReadonlySet<Scope>
  /** Only keys with this prefix may be written and read; '' for every key. */
  readonly keyPrefix: string
  readonly limits: KeyLimits
  readonly via: 'open' | 'api-key' | 'session'
}

/** The caller of a request that is not authenticated (yet): may use open routes only. */
export const ANONYMOUS: Principal = {
  id: 'anonymous',
  name: 'anonymous',
  scopes: new Set(),
  keyPrefix: '',
  limits: {},
  via: 'open',
}

/** The caller of every request while authentication is off: may do everything. */
export const UNRESTRICTED: Principal = { ...ANONYMOUS, scopes: new Set(SCOPES) }
