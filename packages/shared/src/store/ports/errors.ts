/** `refused`: nothing was done. `unknown`: it may be done. `fatal`: a retry cannot help. */
export type StoreErrorKind = 'refused' | 'unknown' | 'fatal'

export class StoreError extends Error {
  readonly kind: StoreErrorKind

  constructor(message: string, options: ErrorOptions & { kind: StoreErrorKind }) {
    super(message, options)
    this.name = 'StoreError'
    this.kind = options.kind
  }
}

/** The store holds another deployment's layout. The message is for the operator. */
export class LayoutMismatch extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'LayoutMismatch'
  }
}

/** The store does not provide the configured durability. The message is for the operator. */
export class DurabilityMismatch extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'DurabilityMismatch'
  }
}
