import { isDeepStrictEqual } from 'node:util'
import { decodeAggregates, type StoredAggregates } from '@tidemark/shared/aggregates/reading'
import { decodeWindow, type StoredWindow } from '@tidemark/shared/detection/window-row'
import { entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { Sample } from '@tidemark/shared/sample/sample'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { type AggregatedSample, aggregateFaults } from '@tidemark/testkit/aggregates-oracle'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { ExpectedAlerts, type KeptAlerts } from './alerts.ts'
import type { Attempts } from './attempt.ts'
import { type CommitRecord, type CommittedSample, chainOf } from './audit.ts'
import { isLostBy, type Loss } from './loss.ts'
import type { PartitionState } from './partition-state.ts'
import type { SamplePlan } from './sample-plan.ts'

/** What Redis holds after the run. */
export interface FinalState {
  readonly states: readonly PartitionState[]
  /** By partition: samples in the stream, pending entries, dead letters; then analyses by key. */
  readonly kept: readonly number[]
  readonly pending: readonly number[]
  readonly dead: readonly (readonly { readonly id: string; readonly reason: string }[])[]
  readonly analyses: ReadonlyMap<string, string>
  readonly windows: ReadonlyMap<string, StoredWindow>
  readonly aggregates: ReadonlyMap<string, StoredAggregates>
  /** By partition. */
  readonly alerts: readonly KeptAlerts[]
  /** When it was read, Unix ms. */
  readonly readAt: number
}

/** VERDICTS_KEPT, and room for poison entries, whose declared sample counts are wrong. */
const KEPT_MAX = 20_000 + 1000

export interface Evidence {
  readonly plan: SamplePlan
  readonly attempts: Attempts
  readonly commits: readonly CommitRecord[]
  readonly rolledBack: readonly CommitRecord[]
  readonly losses: readonly Loss[]
  readonly poisons: readonly string[]
  /** How often Redis lost the rules. */
  readonly rulesLost: number
  readonly final: FinalState
}

/** The classes of Jepsen's queue checkers. */
export interface Classes {
  /** Accepted and analysed once. */
  ok: number
  /** Accepted and not analysed, although Redis had it. */
  lost: number
  /** Accepted, and lost by Redis within its durability level: what the harness found missing. */
  lostByRedis: number
  /** Of these, samples that had been analysed and were lost together with their verdicts. */
  rolledBack: number
  duplicated: number
  outOfOrder: number
  /** Analysed, but never sent, or rejected. */
  invented: number
  /** The client did not know whether it was stored. It was, and was analysed once. */
  recovered: number
  /** As recovered, but stored after newer samples of its key. */
  late: number
  /** Rejected or of unknown outcome, and not stored. */
  absent: number
}

export interface Verification {
  readonly classes: Classes
  readonly violations: readonly string[]
  /** The number of samples that each loss took. */
  readonly lostSamples: readonly number[]
  readonly analysed: number
  readonly keys: number
  /** The number of alerts that samples opened. */
  readonly alerts: number
}

interface Committed {
  readonly sample: CommittedSample
  readonly n: number | undefined
  readonly receipt: string
}

/** Verifies a run from its samples, responses, commits and the final state of Redis. */
export function verify(evidence: Evidence): Verification {
  const violations: string[] = []
  const byKey = committedByKey(evidence, violations)
  const classes: Classes = {
    ok: 0,
    lost: 0,
    lostByRedis: 0,
    rolledBack: 0,
    duplicated: 0,
    outOfOrder: 0,
    invented: 0,
    recovered: 0,
    late: 0,
    absent: 0,
  }
  const alerts = new ExpectedAlerts(evidence.rulesLost)
  for (const [key, committed] of byKey) {
    classify(key, committed, evidence, classes, violations)
    recompute(key, committed, evidence.final, violations)
    alerts.add(
      key,
      committed.map(({ sample: { value, timestamp }, receipt }) => ({ value, timestamp, receipt })),
    )
  }
  violations.push(...alerts.check(evidence.final.alerts, evidence.final.readAt))
  const lostSamples = classifyMissing(byKey, evidence, classes, violations)
  checkFinalState(byKey, evidence, violations)
  let analysed = 0
  for (const committed of byKey.values()) analysed += committed.length
  return { classes, violations, lostSamples, analysed, keys: byKey.size, alerts: alerts.opened }
}

function committedByKey({ plan, commits, final }: Evidence, violations: string[]): Map<string, Committed[]> {
  const byKey = new Map<string, Committed[]>()
  for (const { partition, checkpoint, analysed } of final.states) {
    const { chain, faults } = chainOf(commits, partition, checkpoint)
    violations.push(...faults)
    let samples = 0
    const former = new Set<string>()
    let owner = ''
    for (const commit of chain) {
      if (commit.token !== owner) {
        if (former.has(commit.token)) violations.push(`I6: partition ${partition} went back to ${commit.token}`)
        former.add(commit.token)
        owner = commit.token
      }
      for (const entry of commit.entries) {
        samples += entry.samples.length
        for (const sample of entry.samples) {
          const committed = { sample, n: plan.numberOf(sample), receipt: `${partition}:${entry.id}` }
          const known = byKey.get(sample.key)
          if (known === undefined) byKey.set(sample.key, [committed])
          else known.push(committed)
        }
      }
    }
    if (samples !== analysed) {
      violations.push(
        `I1: partition ${partition} counts ${analysed} samples as analysed, but its commits contain ${samples}`,
      )
    }
  }
  return byKey
}

function classify(
  key: string,
  committed: readonly Committed[],
  evidence: Evidence,
  classes: Classes,
  violations: string[],
): void {
  const seen = new Set<number>()
  let newest = -1
  let newestAccepted = -1
  for (const { n, receipt } of committed) {
    const attempt = n === undefined ? undefined : evidence.attempts.get(key)?.[n]
    if (n === undefined || attempt === undefined || attempt.outcome === 'rejected') {
      classes.invented++
      violations.push(
        `I3: sample ${n} of ${key} was analysed in ${receipt}, but was ${attempt === undefined ? 'never sent' : 'rejected'}`,
      )
      continue
    }
    if (seen.has(n)) {
      classes.duplicated++
      violations.push(`I1: sample ${n} of ${key} was analysed twice, the second time in ${receipt}`)
      continue
    }
    seen.add(n)
    if (attempt.outcome === 'unknown') {
      classes.recovered++
      if (n < newest) classes.late++
    } else {
      if (n < newestAccepted) {
        classes.outOfOrder++
        violations.push(`I1: sample ${n} of ${key} was analysed after sample ${newestAccepted}`)
      } else classes.ok++
      if (attempt.receipt !== receipt) {
        violations.push(`I1: sample ${n} of ${key} has the receipt ${attempt.receipt}, but was analysed in ${receipt}`)
      }
      if (evidence.losses.some(loss => isLostBy(loss, receipt))) {
        violations.push(`harness: sample ${n} of ${key} in ${receipt} counts as lost, but was analysed`)
      }
      newestAccepted = Math.max(newestAccepted, n)
    }
    newest = Math.max(newest, n)
  }
}

/** Classifies samples that were sent and are in no commit. */
function classifyMissing(
  byKey: ReadonlyMap<string, readonly Committed[]>,
  { attempts, losses, rolledBack }: Evidence,
  classes: Classes,
  violations: string[],
): number[] {
  const analysedOnce = new Set<string>()
  for (const { partition, result, entries } of rolledBack) {
    if (result === 'ok') for (const { id } of entries) analysedOnce.add(`${partition}:${id}`)
  }
  const lostSamples = losses.map(() => 0)
  for (const [key, tries] of attempts) {
    const there = new Set(byKey.get(key)?.map(({ n }) => n))
    for (const [n, { outcome, receipt }] of tries.entries()) {
      if (there.has(n)) continue
      if (outcome !== 'accepted' || receipt === undefined) {
        classes.absent++
        continue
      }
      const loss = losses.findIndex(one => isLostBy(one, receipt))
      if (loss < 0) {
        classes.lost++
        violations.push(`I2: sample ${n} of ${key} was accepted as ${receipt} and never analysed`)
        continue
      }
      lostSamples[loss] = (lostSamples[loss] ?? 0) + 1
      classes.lostByRedis++
      if (analysedOnce.has(receipt)) classes.rolledBack++
    }
  }
  return lostSamples
}

/**
 * Checks I1 and I4: verdicts and last analyses follow, bit for bit, from the committed samples, and
 * aggregates as precisely as they are kept.
 */
function recompute(key: string, committed: readonly Committed[], final: FinalState, violations: string[]): void {
  const samples: Sample[] = committed.map(({ sample: { value, timestamp } }) => ({ key, value, timestamp }))
  const aggregated: AggregatedSample[] = []
  for (const [i, { sample, receipt }] of committed.entries()) {
    const before = Math.min(i, VERDICT_DEFAULTS.window)
    if (sample.count !== i + 1 || sample.window !== before) {
      violations.push(
        `I1: sample number ${i + 1} of ${key}, in ${receipt}, has count ${sample.count} and a window of ${sample.window}`,
      )
      return
    }
    if (before === 0) {
      aggregated.push({ ...sample, time: arrivalOf(receipt), isFlagged: false })
      continue
    }
    const { mean, deviation, anomaly } = oracleAnalysis(key, samples.slice(i - before, i + 1), VERDICT_DEFAULTS)
    if (!Object.is(mean, sample.mean) || !Object.is(deviation, sample.deviation)) {
      violations.push(`I4: the verdict on sample number ${i + 1} of ${key} differs from the oracle's`)
      return
    }
    aggregated.push({ ...sample, time: arrivalOf(receipt), isFlagged: anomaly })
  }
  const stored = final.aggregates.get(key)
  const faults = aggregateFaults(aggregated, (stored && decodeAggregates(stored)) ?? [])
  if (faults.length > 0) violations.push(`I4: of the aggregates of ${key}, a ${faults[0]}`)
  const text = final.analyses.get(key)
  // The rules of the run score as the default policy does.
  const { id, analyzed_at, rule, detector, score, late, duplicate, ...analysis } = JSON.parse(text ?? '{}')
  const expected = oracleAnalysis(key, withoutKeys(samples), VERDICT_DEFAULTS)
  if (id !== committed.at(-1)?.receipt || score !== analysis.z || !isDeepStrictEqual(analysis, expected)) {
    violations.push(`I4: the last analysis of ${key} is ${text}, the oracle's is ${JSON.stringify(expected)}`)
  }
  const storedWindow = final.windows.get(key)
  const window = storedWindow && decodeWindow(storedWindow)
  const newest = samples.slice(-VERDICT_DEFAULTS.window)
  const isSame =
    window?.count === samples.length &&
    isDeepStrictEqual(
      window.values,
      newest.map(({ value }) => value),
    ) &&
    isDeepStrictEqual(
      window.timestamps,
      newest.map(({ timestamp }) => timestamp),
    )
  if (!isSame) violations.push(`I4: the window of ${key} does not contain its last samples`)
}

function arrivalOf(receipt: string): number {
  return entryTimeMs(receipt.slice(receipt.indexOf(':') + 1))
}

function withoutKeys(samples: readonly Sample[]): { value: number; timestamp: number }[] {
  return samples.map(({ value, timestamp }) => ({ value, timestamp }))
}

/** Checks I8, I11 and I13 on the final state. */
function checkFinalState(
  byKey: ReadonlyMap<string, unknown>,
  { final, poisons, losses }: Evidence,
  violations: string[],
): void {
  for (const { partition, accepted, offset, unprocessed } of final.states) {
    if (accepted !== offset || unprocessed.size > 0) {
      violations.push(
        `I9: partition ${partition} has accepted ${accepted} samples but is at offset ${offset}; ${unprocessed.size} entries are unprocessed`,
      )
    }
    const [kept = 0, pending] = [final.kept[partition], final.pending[partition]]
    if (kept > KEPT_MAX) violations.push(`I8: the stream of partition ${partition} still has ${kept} samples`)
    if (pending !== 0) violations.push(`I8: ${pending} entries of partition ${partition} are still pending`)
    const expected = poisons.filter(
      receipt => receipt.startsWith(`${partition}:`) && !losses.some(loss => isLostBy(loss, receipt)),
    )
    const found = (final.dead[partition] ?? []).map(({ id }) => `${partition}:${id}`)
    if (!isDeepStrictEqual(found.toSorted(), expected.toSorted())) {
      violations.push(
        `I13: the dead letters of partition ${partition} are ${found.join(', ')}, expected ${expected.join(', ')}`,
      )
    }
    for (const { id, reason } of final.dead[partition] ?? []) {
      if (reason === '') violations.push(`I13: the dead letter ${id} of partition ${partition} has no reason`)
    }
  }
  for (const key of final.analyses.keys()) {
    if (!byKey.has(key)) violations.push(`I3: there is an analysis of ${key}, but no commit contains a sample of it`)
  }
}
