/** The most ended sessions that are remembered; beyond it those that expire first are forgotten. */
export const ENDED_SESSIONS_MAX = 1000

/** Sessions of browsers are signed, not stored: all gateways share only this. */
export interface SharedSessions {
  readonly secret: string
  /** The ids of sessions that were ended before they expire. */
  readonly ended: readonly string[]
}

/** Methods may reject with a `StoreError`. */
export interface SessionStore {
  /** Returns what is shared. If there is no secret yet, the given one is stored first. */
  load(secret: string): Promise<SharedSessions>
  /** Ends a session. Its id is remembered until `expiresAt`, in Unix milliseconds. */
  end(id: string, expiresAt: number): Promise<void>
}
