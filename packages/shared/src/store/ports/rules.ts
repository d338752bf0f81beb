import type { RuleChange, RuleDocument } from '../../detection/rules/document.ts'

/** Changes that are kept. */
export const RULE_CHANGES_KEPT = 1000

/** The rules of the whole deployment: one document, kept apart from the partitions. Methods may reject with a `StoreError`. */
export interface RuleStore {
  /** The version in force; 0 while nobody ever said anything. Cheap: it is asked for all the time. */
  version(): Promise<number>
  /** The document in force. */
  document(): Promise<RuleDocument>
  /**
   * Puts `document` in the place of the one whose version is one less, and notes what was changed, both or neither. False when
   * another one is in force by now.
   */
  replace(document: RuleDocument, change: RuleChange): Promise<boolean>
  /** What was changed, newest first: at most `count` changes that made a version up to `upTo`. Only the newest are kept. */
  changes(range: { upTo?: number | undefined; count: number }): Promise<RuleChange[]>
}
