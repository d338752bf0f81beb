/** The right to work on a partition, held by one analyzer at a time. */
export interface Lease {
  readonly partition: number
  /** `owner:uuid`, compared as a whole. */
  readonly token: string
}
