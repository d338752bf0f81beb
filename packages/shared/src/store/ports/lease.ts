import type { EntryId } from '../../sample/receipt.ts'

/** Changes of ownership that are kept of each partition. */
export const OWNER_CHANGES_KEPT = 20

/** Returns the analyzer that a lease's token names. */
export function ownerIn(token: string): string {
  return token.slice(0, token.lastIndexOf(':'))
}

/** A lease that was taken or released. One that expired leaves none: the next taking shows it. */
export interface OwnerChange {
  /** By the clock of the store. */
  readonly id: EntryId
  readonly kind: 'taken' | 'released'
  readonly owner: string
}

/** The right to work on a partition, held by one analyzer at a time. */
export interface Lease {
  readonly partition: number
  /** `owner:uuid`, compared as a whole. */
  readonly token: string
}
