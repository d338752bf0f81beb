import type { RuleChange, RuleDocument } from '../../detection/rules/document.ts'

/** Changes that are kept. */
export const RULE_CHANGES_KEPT = 1000

/** The one rule document of the deployment. Methods may reject with a `StoreError`. */
export interface RuleStore {
  /** Reads the version in force; 0 before the first change. Cheap enough to poll. */
  version(): Promise<number>
  /** Reads the document in force. */
  document(): Promise<RuleDocument>
  /** Replaces the document one version older and records the change; false at another version. */
  replace(document: RuleDocument, change: RuleChange): Promise<boolean>
  /** Reads changes with a version up to `upTo`, newest first. Only the newest are kept. */
  changes(range: { upTo?: number | undefined; count: number }): Promise<RuleChange[]>
}
