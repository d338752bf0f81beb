/** What a running process says of itself. */
export interface ProcessReport {
  /** Held by one process at a time. */
  readonly name: string
  /** Differs for each start of a process. */
  readonly instance: string
  readonly content: string
}

/** The reports of all running processes. Methods may reject with a `StoreError`. */
export interface ProcessStore {
  /**
   * Records the report of a process for `ttlMs`, and returns those of all processes by name, its
   * own included. Returns undefined, and records nothing, while another instance holds the name.
   */
  report(own: ProcessReport, ttlMs: number): Promise<ProcessReport[] | undefined>
  /** Removes the report under a name that the caller holds. */
  withdraw(name: string): Promise<void>
}
