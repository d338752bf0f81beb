/** Limits of one API key. A member that is undefined means the deployment's default. */
export interface KeyLimits {
  readonly samplesPerS?: number | undefined
  readonly requestsPerS?: number | undefined
  /** Keys (series of samples) that it may create. */
  readonly keysMax?: number | undefined
}
