import { z } from '@hono/zod-openapi'
import { compareEntryIds, parseReceipt, type Receipt } from '@tidemark/shared/sample/receipt'
import type { Store } from '@tidemark/shared/store/ports/store'
import { RequestFault } from '../http/problem.ts'

/** The id of a dead letter: its partition, and its place among the dead letters there. */
export const receiptParameter = z
  .string()
  .transform(parseReceipt)
  .pipe(z.custom<Receipt>(receipt => receipt !== undefined, 'must be the id of a dead letter, as 3:1700000000000-0'))

/** Parses an id from a path; throws a RequestFault if no dead letter can have it. */
export function receiptOfId(store: Store, id: string): Receipt {
  const result = receiptParameter.safeParse(id)
  if (!result.success || result.data.partition >= store.partitions) throw new RequestFault({ kind: 'dead-unknown' })
  return result.data
}

/** Descending by id, then by partition: two partitions can have entries with the same id. */
export function newestFirst(a: Receipt, b: Receipt): number {
  return compareEntryIds(b.id, a.id) || b.partition - a.partition
}
