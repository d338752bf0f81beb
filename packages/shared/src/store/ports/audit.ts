import type { AuditIntent, AuditResult } from '../../access/audit-record.ts'
import type { EntryId } from '../../sample/receipt.ts'

export interface AuditRecord extends AuditIntent {
  /** By the store's clock: its milliseconds are when the record was begun. */
  readonly id: EntryId
  /** Null until it is known, and for ever if its gateway or the store stopped in between. */
  readonly result: AuditResult | null
}

/**
 * Who changed what: a record is begun before the change and ended after it, so that none is made
 * without a record. Only the newest are kept. Methods may reject with a `StoreError`.
 */
export interface AuditStore {
  /** Adds a record and returns its id. */
  begin(intent: AuditIntent): Promise<EntryId>
  /** Adds the result to a record, if that is still kept. */
  end(id: EntryId, result: AuditResult): Promise<void>
  /** Reads records before `before`, newest first. A record that cannot be read is left out. */
  list(range: { before?: EntryId | undefined; count: number }): Promise<AuditRecord[]>
}
