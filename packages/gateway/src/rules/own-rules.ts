import type { RuleDocument } from '@tidemark/shared/detection/rules/document'
import type { Principal } from '../access/principal.ts'
import { keyForbidden, mayUsePattern } from '../http/own-keys.ts'

/** The document without the rules and mutes that concern keys which the caller may not use. */
export function ownOf(document: RuleDocument, caller: Principal): RuleDocument {
  if (caller.keyPrefix === '') return document
  return {
    ...document,
    rules: document.rules.filter(({ rule }) => mayUsePattern(caller, rule.pattern)),
    mutes: document.mutes.filter(({ pattern }) => mayUsePattern(caller, pattern)),
  }
}

/** Throws a RequestFault unless all keys of the new rule or mute are the caller's. */
export function requirePattern(caller: Principal, content: unknown): void {
  if (!mayUsePattern(caller, patternOf(content))) throw keyForbidden(caller)
}

/** Throws a RequestFault if the rule or mute to replace is not the caller's. */
export function requireOwn(caller: Principal, existing: { readonly pattern: string } | undefined): void {
  if (existing !== undefined) requirePattern(caller, existing)
}

export function patternOf(content: unknown): unknown {
  return typeof content === 'object' && content !== null && 'pattern' in content ? content.pattern : undefined
}
