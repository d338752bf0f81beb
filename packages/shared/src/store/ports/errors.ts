/** `refused`: nothing was done. `unknown`: it may be done. `fatal`: a retry cannot help. */
export type StoreErrorKind = 'refused' | 'unknown' | 'fatal'

export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly kind: StoreErrorKind

  constructor(message: string, options: ErrorOptions & { kind: StoreErrorKind }) {
    super(message, options)
    this.kind = options.kind
  }
}

/** Redis denies access: to the user, to a command, or by TLS. The message says what to change. */
export class AccessDenied extends StoreError {
  readonly isForOperator = true
}

/** The store holds another deployment's layout. The message is for the operator. */
export class LayoutMismatch extends Error {
  override readonly name = 'LayoutMismatch'
  readonly isForOperator = true
}

/** The store does not provide the configured durability. The message is for the operator. */
export class DurabilityMismatch extends Error {
  override readonly name = 'DurabilityMismatch'
  readonly isForOperator = true
}
