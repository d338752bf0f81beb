import type { RuleChange, RuleDocument } from '../../detection/rules/document.ts'

/** Changes that are kept. */
export const RULE_CHANGES_KEPT = 1000

/**
 * The rules of the whole deployment: one document, independent of partitions. Methods may reject
 * with a `StoreError`.
 */
export interface RuleStore {
  /** Reads the version in force; 0 before the first change. Cheap enough to poll. */
  version(): Promise<number>
  /** Reads the document in force. */
  document(): Promise<RuleDocument>
  /**
   * Replaces the document whose version is one less and records the change, both or neither. False
   * when another version is in force.
   */
  replace(document: RuleDocument, change: RuleChange): Promise<boolean>
  /**
   * Reads at most `count` changes with a version up to `upTo`, newest first. Only the newest
   * changes are kept.
   */
  changes(range: { upTo?: number | undefined; count: number }): Promise<RuleChange[]>
}
