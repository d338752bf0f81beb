/** A token bucket that all gateways share. It is full until tokens are taken. */
export interface SharedBucket {
  readonly name: string
  /** Tokens that it gains each second. */
  readonly perS: number
  /** The most tokens that it holds: at least 1. */
  readonly burst: number
}

export interface TokensWanted {
  /** All of them are granted, or nothing is. A negative number gives tokens back. */
  readonly cost: number
  /** What to grant beyond the cost, as far as there are tokens. */
  readonly ahead: number
}

export interface TokensTaken {
  /** A negative number for tokens that were given back. */
  readonly granted: number
  /** Tokens left. Negative after a cost above the burst, and until the bucket has regained it. */
  readonly tokens: number
}

/** The rate limits of all gateways together. Methods may reject with a `StoreError`. */
export interface LimitStore {
  /**
   * Takes tokens out of a bucket. A cost above the burst is granted when the bucket is full, and
   * leaves a debt: otherwise it could never be granted.
   */
  take(bucket: SharedBucket, wanted: TokensWanted): Promise<TokensTaken>
}

/** Two floats that should be equal may differ by rounding. A token is never withheld for that. */
export const TOKEN_ROUNDING = 1e-6
