import { writeTo } from '../../aggregates/rings.ts'
import { compareEntryIds, type EntryId } from '../../sample/receipt.ts'
import type { EntryFindings } from '../../verdict/kept-verdicts.ts'
import { assertCommitShape, type Commit, type CommitOutcome, type EvictedKey } from '../ports/commit.ts'
import type { Lease } from '../ports/lease.ts'
import { toEntry } from '../stream-entry.ts'
import { endAlert, openAlert } from './alerts.ts'
import { type Data, heldLease, type Partition, partitionAt } from './data.ts'
import { indexAfter, keepNewest } from './log.ts'
import { acknowledge, pendingIds } from './reading.ts'

export function applyCommit(data: Data, lease: Lease, commit: Commit): CommitOutcome {
  assertCommitShape(commit)
  const partition = partitionAt(data, lease.partition)
  const refusal = refusalOf(partition, commit, heldLease(data, partition) === lease.token)
  if (refusal !== undefined) return refusal

  applyKeys(partition, commit)
  applyAggregates(partition, commit)
  for (const analysis of commit.anomalies) partition.anomalies.add({ analysis }, data.now(), data.anomaliesMax)
  applyRuleEffects(data, partition, commit)
  const { points = [] } = commit
  if (points.length > 0) partition.points.add({ count: points.length, analyses: `[${points.join()}]` }, data.now())
  for (const { key, at } of commit.refused ?? []) {
    const { seenAt, owner } = partition.registry.get(key) ?? { seenAt: 0, owner: '' }
    if (seenAt < at) partition.registry.set(key, { seenAt: at, owner })
    partition.registered.add(key)
  }
  if (commit.entries.length === 0) {
    const evicted = (commit.evicted ?? []).filter(one => evict(partition, one)).length
    partition.evicted += evicted
    const timeCommits = partition.checkpoint.timeCommits + 1
    partition.checkpoint = { ...partition.checkpoint, rulesVersion: commit.rulesVersion, timeCommits }
    const outcome = { kind: 'ok', at: data.now() } as const
    return commit.evicted === undefined || commit.evicted.length === 0 ? outcome : { ...outcome, evicted }
  }
  partition.deadLetters.push(...commit.deadLetters)
  keepNewest(partition.deadLetters, data.deadMax)
  const written = partition.verdicts.size + commit.verdicts.length
  keepVerdicts(partition.verdicts, commit)
  partition.verdictsTrimmed += written - partition.verdicts.size
  moveCheckpoint(partition, commit)
  return { kind: 'ok', at: data.now() }
}

function refusalOf(
  { checkpoint, stream, log, group }: Partition,
  { from, to, entries, witness, requiresDrained, timeCommits = checkpoint.timeCommits }: Commit,
  isOurs: boolean,
): CommitOutcome | undefined {
  if (!isOurs) return { kind: 'fenced' }
  const stale: CommitOutcome = { kind: 'stale', checkpoint: checkpoint.id }
  const next = stream[indexAfter(stream, from.id)]
  const hasLost = timeCommits !== checkpoint.timeCommits
  const [first] = entries
  if (first === undefined) {
    if (checkpoint.id !== from.id || hasLost) return stale
    return requiresDrained === true && next !== undefined ? { kind: 'gap', id: next.id } : undefined
  }
  if (checkpoint.id === to.id) return { kind: 'already' }
  // Applied entries are kept for a while, and are delivered again when an operator moves the group.
  const isAgain = compareEntryIds(first, from.id) <= 0
  if (checkpoint.id !== from.id || hasLost || isAgain) return stale
  if (witness !== undefined) {
    const found = log.find(witness.id)
    if (found === undefined || (toEntry(found.id, found.fields).nonce ?? '') !== witness.nonce) return stale
  }
  if (next !== undefined && compareEntryIds(next.id, first) < 0) return { kind: 'gap', id: next.id }
  // What a former owner read in the meantime is pending and not in the run.
  const run = new Set(entries)
  const unseen = pendingIds(group).find(
    id => compareEntryIds(id, from.id) > 0 && compareEntryIds(id, to.id) <= 0 && !run.has(id),
  )
  return unseen === undefined ? undefined : { kind: 'gap', id: unseen }
}

function applyKeys({ rows, analyses, keys }: Partition, commit: Commit): void {
  for (const { key, window, analysis } of commit.keys) {
    const { row = null, tail = null, memory = null } = rows.get(key) ?? {}
    const bytes = new Uint8Array(window.bytes)
    const kept = { row, tail, memory: window.memory ? new Uint8Array(window.memory) : memory }
    rows.set(key, { ...kept, [window.kind]: bytes })
    if (analysis === null) continue
    keys.add(key)
    analyses.set(key, String(analysis))
  }
}

function applyAggregates({ openBuckets, rings }: Partition, { aggregates }: Commit): void {
  if (aggregates === undefined) return
  for (const { key, bytes } of aggregates.states) openBuckets.set(key, new Uint8Array(bytes))
  for (const write of aggregates.writes) {
    const { key, ring } = write
    const ofKey = rings.get(key) ?? { hours: new Uint8Array(), days: new Uint8Array() }
    rings.set(key, { ...ofKey, [ring]: writeTo(ofKey[ring], write) })
  }
}

function applyRuleEffects(data: Data, { alerts, timers, ruleCounts, shadowed }: Partition, commit: Commit): void {
  for (const opened of commit.alerts.opened) openAlert(alerts, opened, data)
  for (const ended of commit.alerts.ended) endAlert(alerts, ended, data)
  for (const { key, at } of commit.timers) {
    if (at === null) timers.delete(key)
    else timers.set(key, at)
  }
  for (const { name, by } of commit.counts) ruleCounts.set(name, (ruleCounts.get(name) ?? 0) + by)
  shadowed.push(...commit.shadowed)
  keepNewest(shadowed, data.shadowedMax)
}

/** False when nothing is known of the key: the commit was sent twice. */
function evict(partition: Partition, { key, shadow, deletion }: EvictedKey): boolean {
  const { rows, analyses, keys, registry, registered, timers, deletions, alerts, openBuckets, rings } = partition
  const found = [registry.delete(key), rows.delete(key), rows.delete(shadow), analyses.delete(key)].includes(true)
  keys.delete(key)
  registered.delete(key)
  timers.delete(key)
  alerts.ofKeys.delete(key)
  openBuckets.delete(key)
  rings.delete(key)
  const request = deletions.get(deletion)
  if (found && request !== undefined) request.deleted++
  return found
}

function keepVerdicts(kept: Map<EntryId, EntryFindings>, { verdicts, keepFrom, to }: Commit): void {
  for (const one of verdicts) kept.set(one.id, copyFindings(one))
  for (const id of kept.keys()) {
    if (compareEntryIds(id, keepFrom ?? to.id) >= (keepFrom === undefined ? 1 : 0)) break
    kept.delete(id)
  }
}

/** Copies the bytes too. */
export function copyFindings(one: EntryFindings): EntryFindings {
  const { findings, judged, rests } = one
  return {
    ...one,
    findings: new Uint8Array(findings),
    judged: judged && { ...judged, judgements: new Uint8Array(judged.judgements) },
    rests: rests && new Uint8Array(rests),
  }
}

function moveCheckpoint(partition: Partition, { entries, to, analysed, dead, rulesVersion, keepFrom }: Commit): void {
  const { group, stream } = partition
  const acknowledged = acknowledge(partition, entries)
  // The group was sent back after they had been read: it must not deliver again what is applied
  // now.
  if (group !== undefined && acknowledged < entries.length && compareEntryIds(group.lastDelivered, to.id) < 0) {
    group.lastDelivered = to.id
  }
  const { timeCommits } = partition.checkpoint
  partition.checkpoint = { id: to.id, offset: to.offset, rulesVersion, timeCommits }
  partition.analysed += analysed
  partition.dead += dead
  const kept = stream.findIndex(({ id }) => keepFrom !== undefined && compareEntryIds(id, keepFrom) >= 0)
  stream.splice(0, kept === -1 ? indexAfter(stream, to.id) : kept)
}
