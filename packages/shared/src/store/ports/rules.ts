import type { RuleChange, RuleDocument } from '../../detection/rules/document.ts'

/** Changes that are kept. */
export const RULE_CHANGES_KEPT = 1000

export interface LoadedRules {
  readonly document: RuleDocument
  readonly digest: string
  /** The highest version that the store knows of. It exceeds the document's if rules were lost. */
  readonly newestVersion: number
}

/**
 * The one rule document of the deployment. Methods may reject with a `StoreError`.
 *
 * Versions alone do not say which rules are in force. A store that loses data can go back to older
 * rules, and the next change then makes other rules under a version that was used before. The
 * digest of the stored text differs for them.
 */
export interface RuleStore {
  /** Reads the digest of the document in force; '' before the first change. Made to be polled. */
  digest(): Promise<string>
  /** Reads the document in force. */
  load(): Promise<LoadedRules>
  /**
   * Replaces the document and records the change. Returns false if the document in force does not
   * have the digest `before`.
   */
  replace(document: RuleDocument, change: RuleChange, before: string): Promise<boolean>
  /** Reads changes with a version up to `upTo`, newest first. Only the newest are kept. */
  changes(range: { upTo?: number | undefined; count: number }): Promise<RuleChange[]>
}
