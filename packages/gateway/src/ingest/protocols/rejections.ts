import type { Fault } from '../../http/problem.ts'
import type { SkipReason } from '../../metrics.ts'
import type { Rejection } from '../formats/batch.ts'

/** Rejections that a message names. */
const NAMED_MAX = 10

/** Returns what was rejected and why, for protocols whose errors are one text. */
export function summarize(rejections: readonly Pick<Rejection, 'reason'>[]): string {
  const named = rejections.slice(0, NAMED_MAX).map(({ reason }) => reason)
  const more = rejections.length - named.length
  return `${named.join('; ')}${more > 0 ? `; and ${more} more` : ''}`
}

/**
 * Returns what a fault that left samples unstored says, for the same protocols. Telegraf's
 * outputs.influxdb discards a batch at the words "partial write", whatever the status is.
 */
export function describeUnstored({ stored, members }: Extract<Fault, { kind: 'samples-not-stored' }>): string {
  const { rejected } = members as { readonly rejected: readonly { readonly reason: string }[] }
  const reason = rejected.find(({ reason }) => reason.includes('stored'))?.reason ?? ''
  return `${stored} samples are stored, the others are not: ${reason}. Send the request again.`
}

/** Returns the header that counts what was skipped, where a response has no body to say it in. */
export function skippedHeader(skipped: ReadonlyMap<SkipReason, number>): Record<string, string> {
  if (skipped.size === 0) return {}
  return { 'Tidemark-Skipped': [...skipped].map(([reason, count]) => `${reason}=${count}`).join(', ') }
}
