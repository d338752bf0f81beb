import { z } from '@hono/zod-openapi'
import { type EntryId, formatReceipt, newestFirst, parseReceipt, type Receipt } from '@tidemark/shared/sample/receipt'
import type { Store } from '@tidemark/shared/store/ports/store'
import { problem } from '../http/documentation.ts'
import { RequestFault } from '../http/problem.ts'
import { idParameter, optionalInteger } from '../http/query.ts'

/** The id of a dead letter: its partition, and its place among the dead letters there. */
const receiptParameter = z
  .string()
  .transform(parseReceipt)
  .pipe(z.custom<Receipt>(receipt => receipt !== undefined, 'must be the id of a dead letter, as 3:1700000000000-0'))

export const LETTER_ID = idParameter('The id of the dead letter, as its page lists it.', '3:1700000000000-0')
export const LETTER_UNKNOWN = {
  404: problem('No dead letter with this id: it may have been redriven, discarded or trimmed.', 'dead-unknown'),
}

export const pageQuery = z.strictObject({
  /** The last dead letter of the previous page. */
  cursor: receiptParameter.describe('`cursor` of the previous page.').optional(),
  limit: optionalInteger({ min: 1, max: 500, fallback: 50 }).describe('Dead letters per page.'),
})

/** Parses an id from a path; throws a RequestFault if no dead letter can have it. */
export function receiptOfId(store: Store, id: string): Receipt {
  const result = receiptParameter.safeParse(id)
  if (!result.success || result.data.partition >= store.partitions) throw new RequestFault({ kind: 'dead-unknown' })
  return result.data
}

/**
 * Returns a page of the dead letters of all partitions, newest first, and the cursor of the next
 * one. `read` returns the newest letters of a partition, from `upTo` on.
 */
export async function readPage<T extends { readonly id: EntryId }>(
  { partitions }: Store,
  { cursor, limit }: z.output<typeof pageQuery>,
  read: (partition: number, range: { upTo?: EntryId | undefined; count: number }) => Promise<readonly T[]>,
) {
  const found = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      const letters = await read(partition, { upTo: cursor?.id, count: limit + 1 })
      return letters.map(letter => ({ ...letter, partition }))
    }),
  )
  const rest = found
    .flat()
    .filter(letter => cursor === undefined || newestFirst(letter, cursor) > 0)
    .sort(newestFirst)
  const letters = rest.slice(0, limit)
  const last = rest.length > limit ? letters.at(-1) : undefined
  return { letters, cursor: last === undefined ? null : formatReceipt(last) }
}
