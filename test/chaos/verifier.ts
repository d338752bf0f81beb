import { isDeepStrictEqual } from 'node:util'
import { decodeWindow, type StoredWindow } from '@tidemark/shared/detection/window-row'
import type { Sample } from '@tidemark/shared/sample/sample'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { ExpectedAlerts, type KeptAlerts } from './alerts.ts'
import { type CommitRecord, type CommittedSample, chainOf } from './audit.ts'
import type { Attempts } from './knowledge.ts'
import { isLostBy, type Loss } from './loss.ts'
import type { PartitionState } from './partition-state.ts'
import type { SamplePlan } from './sample-plan.ts'

/** What stands in Redis when everything has come to rest. */
export interface RestingState {
  readonly states: readonly PartitionState[]
  /** Of each partition: samples in the stream, pending entries, what the dead letters say, analyses and windows by key. */
  readonly kept: readonly number[]
  readonly pending: readonly number[]
  readonly dead: readonly (readonly { readonly id: string; readonly reason: string }[])[]
  readonly analyses: ReadonlyMap<string, string>
  readonly windows: ReadonlyMap<string, StoredWindow>
  /** Of each partition. */
  readonly alerts: readonly KeptAlerts[]
  /** Unix ms. */
  readonly readAt: number
}

/** VERDICTS_KEPT, and room for the poisons among them, which say of themselves how many they are. */
const KEPT_MAX = 20_000 + 1000

export interface Evidence {
  readonly plan: SamplePlan
  readonly attempts: Attempts
  readonly commits: readonly CommitRecord[]
  readonly forgotten: readonly CommitRecord[]
  readonly losses: readonly Loss[]
  readonly poisons: readonly string[]
  readonly rest: RestingState
}

/** As Jepsen's queue checkers call them. */
export interface Classes {
  /** Accepted, and analysed once. */
  ok: number
  /** Accepted and not analysed, though Redis had it. */
  lost: number
  /** Accepted, and Redis lost it by what its durability allows: exactly those that the harness found gone. */
  lostByRedis: number
  /** Of these, samples that had been analysed and whose verdicts are gone with them. */
  forgotten: number
  duplicated: number
  outOfOrder: number
  /** Analysed, and nobody sent it, or it was refused. */
  invented: number
  /** Nobody knew whether it was stored, and it was, and was analysed once. */
  recovered: number
  /** As recovered, but stored after newer samples of its key. */
  late: number
  /** Refused or unknown, and not stored. */
  absent: number
}

export interface Verdict {
  readonly classes: Classes
  readonly breaches: readonly string[]
  /** What each loss took, in the order of the losses. */
  readonly lostSamples: readonly number[]
  readonly analysed: number
  readonly keys: number
  /** Opened by samples, each once. */
  readonly alerts: number
}

interface Committed {
  readonly sample: CommittedSample
  readonly n: number | undefined
  readonly receipt: string
}

/** Judges a run from what was sent, what was answered, what was committed and what stands in Redis at the end. */
export function verify(evidence: Evidence): Verdict {
  const breaches: string[] = []
  const byKey = committedByKey(evidence, breaches)
  const classes: Classes = {
    ok: 0,
    lost: 0,
    lostByRedis: 0,
    forgotten: 0,
    duplicated: 0,
    outOfOrder: 0,
    invented: 0,
    recovered: 0,
    late: 0,
    absent: 0,
  }
  const alerts = new ExpectedAlerts()
  for (const [key, committed] of byKey) {
    classify(key, committed, evidence, classes, breaches)
    recompute(key, committed, evidence.rest, breaches)
    alerts.add(
      key,
      committed.map(({ sample: { value, timestamp }, receipt }) => ({ value, timestamp, receipt })),
    )
  }
  breaches.push(...alerts.check(evidence.rest.alerts, evidence.rest.readAt))
  const lostSamples = classifyMissing(byKey, evidence, classes, breaches)
  checkRest(byKey, evidence, breaches)
  let analysed = 0
  for (const committed of byKey.values()) analysed += committed.length
  return { classes, breaches, lostSamples, analysed, keys: byKey.size, alerts: alerts.opened }
}

function committedByKey({ plan, commits, rest }: Evidence, breaches: string[]): Map<string, Committed[]> {
  const byKey = new Map<string, Committed[]>()
  for (const { partition, checkpoint, analysed } of rest.states) {
    const { chain, faults } = chainOf(commits, partition, checkpoint)
    breaches.push(...faults)
    let samples = 0
    const former = new Set<string>()
    let owner = ''
    for (const commit of chain) {
      if (commit.token !== owner) {
        if (former.has(commit.token)) breaches.push(`I6: partition ${partition} went back to ${commit.token}`)
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
      breaches.push(
        `I1: partition ${partition} counts ${analysed} samples as analysed, and its commits have ${samples}`,
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
  breaches: string[],
): void {
  const seen = new Set<number>()
  let newest = -1
  let newestAccepted = -1
  for (const { n, receipt } of committed) {
    const attempt = n === undefined ? undefined : evidence.attempts.get(key)?.[n]
    if (n === undefined || attempt === undefined || attempt.knowledge === 'refused') {
      classes.invented++
      breaches.push(
        `I3: sample ${n} of ${key} was analysed in ${receipt}, and it was ${attempt === undefined ? 'never sent' : 'refused'}`,
      )
      continue
    }
    if (seen.has(n)) {
      classes.duplicated++
      breaches.push(`I1: sample ${n} of ${key} was analysed twice, the second time in ${receipt}`)
      continue
    }
    seen.add(n)
    if (attempt.knowledge === 'unknown') {
      classes.recovered++
      if (n < newest) classes.late++
    } else {
      if (n < newestAccepted) {
        classes.outOfOrder++
        breaches.push(`I1: sample ${n} of ${key} was analysed after sample ${newestAccepted}`)
      } else classes.ok++
      if (attempt.receipt !== receipt) {
        breaches.push(`I1: sample ${n} of ${key} has the receipt ${attempt.receipt}, and was analysed in ${receipt}`)
      }
      if (evidence.losses.some(loss => isLostBy(loss, receipt))) {
        breaches.push(`harness: sample ${n} of ${key} in ${receipt} was found lost, and it was analysed`)
      }
      newestAccepted = Math.max(newestAccepted, n)
    }
    newest = Math.max(newest, n)
  }
}

/** Samples that were sent and are in no commit. */
function classifyMissing(
  byKey: ReadonlyMap<string, readonly Committed[]>,
  { attempts, losses, forgotten }: Evidence,
  classes: Classes,
  breaches: string[],
): number[] {
  const analysedOnce = new Set<string>()
  for (const { partition, outcome, entries } of forgotten) {
    if (outcome === 'ok') for (const { id } of entries) analysedOnce.add(`${partition}:${id}`)
  }
  const lostSamples = losses.map(() => 0)
  for (const [key, tries] of attempts) {
    const there = new Set(byKey.get(key)?.map(({ n }) => n))
    for (const [n, { knowledge, receipt }] of tries.entries()) {
      if (there.has(n)) continue
      if (knowledge !== 'accepted' || receipt === undefined) {
        classes.absent++
        continue
      }
      const loss = losses.findIndex(one => isLostBy(one, receipt))
      if (loss < 0) {
        classes.lost++
        breaches.push(`I2: sample ${n} of ${key} was accepted as ${receipt} and never analysed`)
        continue
      }
      lostSamples[loss] = (lostSamples[loss] ?? 0) + 1
      classes.lostByRedis++
      if (analysedOnce.has(receipt)) classes.forgotten++
    }
  }
  return lostSamples
}

/** I1 and I4: every verdict and the newest analysis of a key follow, bit for bit, from its committed samples. */
function recompute(key: string, committed: readonly Committed[], rest: RestingState, breaches: string[]): void {
  const samples: Sample[] = committed.map(({ sample: { value, timestamp } }) => ({ key, value, timestamp }))
  for (const [i, { sample, receipt }] of committed.entries()) {
    const before = Math.min(i, VERDICT_DEFAULTS.window)
    if (sample.count !== i + 1 || sample.window !== before) {
      breaches.push(
        `I1: sample number ${i + 1} of ${key}, in ${receipt}, counts ${sample.count} with a window of ${sample.window}`,
      )
      return
    }
    if (before === 0) continue
    const { mean, deviation } = oracleAnalysis(key, samples.slice(i - before, i + 1), VERDICT_DEFAULTS)
    if (!Object.is(mean, sample.mean) || !Object.is(deviation, sample.deviation)) {
      breaches.push(`I4: the verdict on sample number ${i + 1} of ${key} is not the oracle's`)
      return
    }
  }
  const text = rest.analyses.get(key)
  // A rule is in force that judges as the default policy does.
  const { id, analyzed_at, rule, detector, score, late, duplicate, ...analysis } = JSON.parse(text ?? '{}')
  const expected = oracleAnalysis(key, withoutKeys(samples), VERDICT_DEFAULTS)
  if (id !== committed.at(-1)?.receipt || score !== analysis.z || !isDeepStrictEqual(analysis, expected)) {
    breaches.push(`I4: the last analysis of ${key} is ${text}, and the oracle's is ${JSON.stringify(expected)}`)
  }
  const stored = rest.windows.get(key)
  const window = stored === undefined ? undefined : decodeWindow(stored)
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
  if (!isSame) breaches.push(`I4: the window of ${key} does not hold its last samples`)
}

function withoutKeys(samples: readonly Sample[]): { value: number; timestamp: number }[] {
  return samples.map(({ value, timestamp }) => ({ value, timestamp }))
}

/** I8, I11 and I13: at rest nothing waits, nothing is pending, everything adds up, and every poison is a dead letter once. */
function checkRest(byKey: ReadonlyMap<string, unknown>, { rest, poisons, losses }: Evidence, breaches: string[]): void {
  for (const { partition, accepted, offset, waiting } of rest.states) {
    if (accepted !== offset || waiting.size > 0) {
      breaches.push(
        `I9: partition ${partition} has accepted ${accepted} samples and is at ${offset}; ${waiting.size} entries wait`,
      )
    }
    const [kept = 0, pending] = [rest.kept[partition], rest.pending[partition]]
    if (kept > KEPT_MAX) breaches.push(`I8: the stream of partition ${partition} still has ${kept} samples`)
    if (pending !== 0) breaches.push(`I8: ${pending} entries of partition ${partition} are still pending`)
    const expected = poisons.filter(
      receipt => receipt.startsWith(`${partition}:`) && !losses.some(loss => isLostBy(loss, receipt)),
    )
    const found = (rest.dead[partition] ?? []).map(({ id }) => `${partition}:${id}`)
    if (!isDeepStrictEqual(found.toSorted(), expected.toSorted())) {
      breaches.push(
        `I13: the dead letters of partition ${partition} are ${found.join(', ')} and should be ${expected.join(', ')}`,
      )
    }
    for (const { id, reason } of rest.dead[partition] ?? []) {
      if (reason === '') breaches.push(`I13: the dead letter ${id} of partition ${partition} has no reason`)
    }
  }
  for (const key of rest.analyses.keys()) {
    if (!byKey.has(key)) breaches.push(`I3: there is an analysis of ${key}, and no commit has a sample of it`)
  }
}
