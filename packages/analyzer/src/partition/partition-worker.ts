import { type RowShape, rowShape } from '@tidemark/shared/detection/key-row'
import { parseRuleCountName } from '@tidemark/shared/detection/rules/rule-counts'
import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { backoffMs, type Clock } from '@tidemark/shared/runtime/clock'
import type { FailureLog } from '@tidemark/shared/runtime/logger'
import type { Entry } from '@tidemark/shared/sample/entry'
import { compareEntryIds, ENTRY_ID_ZERO, type EntryId, entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { AnalyzerStore, Attempt } from '@tidemark/shared/store/ports/analyzer'
import type { Checkpoint, Commit, CommitOutcome } from '@tidemark/shared/store/ports/commit'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { VerdictSettings } from '@tidemark/shared/verdict/analysis'
import type { Logger } from 'pino'
import { analyseRun, expireTimers, missingKeys } from '../judging/analyse.ts'
import type { Effects } from '../judging/effects.ts'
import { deadRun, entriesAfter, type Run, takeRun } from '../judging/run.ts'
import { Windows } from '../judging/windows.ts'
import type { AnalyzerMetrics } from '../metrics.ts'
import type { EntryConsumer, ReadLoop } from '../reading/read-loop.ts'
import { KeptEntries } from './kept-entries.ts'
import { observeEffects } from './observe.ts'
import type { RollbackWatch } from './rollback-watch.ts'
import { type TracedCommit, tracesOf } from './tracing.ts'
import type { Turn } from './yielding.ts'

/** Pending entries read at once while recovering. */
const PENDING_COUNT = 100

/** After so many recoveries that began with an entry and ended its owner the entry goes to the dead letters. */
const ATTEMPTS_MAX = 3

const BACKOFF = { minMs: 20, maxMs: 2000 }

/** How long nothing comes before the worker looks whether something waits. Twice the same entry means that it is stuck. */
const IDLE_CHECK_MS = 1000

/** How often it is looked whether something is due though no sample comes: it shows so much later than it could. */
const DUE_CHECK_MS = 1000

/** Keys that are looked at at once. */
const DUE_KEYS_MAX = 1000

/** Two batches: one at work and one that waits, so that neither this worker nor the reader ever idles for the other. */
const QUEUE_BATCHES = 2

/** Batches of so many samples take turns; a smaller one is done sooner than others would notice. */
const TURN_SAMPLES = 1000

export interface WorkerSettings extends VerdictSettings {
  /** Samples that one commit covers, unless a single entry has more. */
  readonly batchSamplesMax: number
  /** Windows that one partition keeps in memory. */
  readonly keysMax: number
  /** Samples whose verdicts are kept for their receipts. */
  readonly verdictsKept: number
  /** How long receivers are not told of an alert yet, so that a storm may be found first. */
  readonly alertWaitMs: number
}

/** The rules in force. */
export interface Rules {
  readonly current: RuleSet
  /** Those of that version or newer ones, as soon as they are known. */
  atLeast(version: number): Promise<RuleSet>
}

type State = 'recovering' | 'steady' | 'stopping' | 'lost'

/** Memory and Redis may differ, so memory is worth nothing. */
class MemoryOutdated extends Error {}

export interface PartitionWorkerOptions {
  readonly lease: Lease
  readonly store: AnalyzerStore
  readonly settings: WorkerSettings
  readonly metrics: AnalyzerMetrics
  readonly log: Logger
  readonly logFailure: FailureLog
  readonly reading: ReadLoop
  readonly rules: Rules
  readonly rollbacks: RollbackWatch
  /** Told of each commit whose entries carry traces. */
  readonly onTraced?: (commit: TracedCommit) => void
  /** Whether the lease is certainly still held, by this process' own clock. */
  readonly holdsLease: () => boolean
  /** To be waited for before a large batch is worked through: of all partitions of the process one at a time. */
  readonly turn: Turn
  readonly clock: Clock
}

/**
 * The work on one partition, from taking it over to giving it up.
 *
 *     recovering  memory is thrown away, the checkpoint loaded, pending entries are worked through; then steady
 *     steady      entries come from the reader and are worked through in batches: windows, verdicts, one commit
 *     stopping    the batch at work is committed, what waits stays pending for the next owner; then ended
 *     lost        somebody else owns the partition, or may; nothing is written any more; then ended
 *
 * steady goes back to recovering whenever memory and Redis may differ: after a failed read, and when a commit is stale or
 * finds a gap. A commit whose outcome is unknown is sent again until the store says what became of it: it can only be
 * applied once.
 */
export class PartitionWorker implements EntryConsumer {
  readonly partition: number
  readonly lease: Lease
  readonly #options: PartitionWorkerOptions
  readonly #windows: Windows
  /** Of keys that were never seen, until the rules have their say. */
  readonly #newShape: RowShape
  #kept: KeptEntries
  #state: State = 'recovering'
  #checkpoint: Checkpoint = { id: ENTRY_ID_ZERO, offset: 0 }
  /** Those that judge; never older than those that judged what is applied. */
  #rules: RuleSet
  /** When it was last looked whether something is due though no sample comes, by the monotonic clock. */
  #lookedForDueAt = Number.NEGATIVE_INFINITY
  /** Entries after the checkpoint and after one another. */
  #queue: Entry[] = []
  /** The last entry that was queued since the checkpoint was loaded; before that, the checkpoint. */
  #lastTaken: EntryId = ENTRY_ID_ZERO
  /** Applied entries that were delivered once more, because somebody moved the group back: pending until acknowledged. */
  #cameAgain: EntryId[] = []
  #wake: () => void = () => undefined
  /** Work on a pending entry that is begun and neither committed nor withdrawn. */
  #noted: Attempt | undefined
  /** The oldest entry that waited in the store when this worker last had nothing to do. */
  #oldestWhenIdle: EntryId | null = null
  /** Ends the pauses between attempts when there is nothing left to attempt. */
  readonly #end = new AbortController()
  readonly #done: Promise<void>

  constructor(options: PartitionWorkerOptions) {
    this.#options = options
    this.lease = options.lease
    this.partition = options.lease.partition
    this.#windows = new Windows({ keysMax: options.settings.keysMax })
    this.#kept = new KeptEntries(options.settings.verdictsKept)
    this.#rules = options.rules.current
    this.#newShape = rowShape(options.settings.window, 'zscore', false)
    // The series is there before anything happens: what is not there cannot rise.
    options.metrics.samplesRolledBack.inc({ partition: this.partition }, 0)
    this.#done = this.#work()
  }

  /** Whether the reader may deliver entries. */
  get takesEntries(): boolean {
    return this.#state === 'steady' && samplesIn(this.#queue) < QUEUE_BATCHES * this.#options.settings.batchSamplesMax
  }

  /** Windows in memory. */
  get keyCount(): number {
    return this.#windows.keyCount
  }

  /** Whether the work ended because the lease is not ours any more. */
  get isLost(): boolean {
    return this.#state === 'lost'
  }

  /** Entries that were read for this partition. While it is not steady they are left pending: recovery finds them there. */
  offer(entries: readonly Entry[]): void {
    if (this.#state !== 'steady') return
    this.#noticeRollback(entries)
    for (const { id } of entries) if (compareEntryIds(id, this.#checkpoint.id) <= 0) this.#cameAgain.push(id)
    this.#queue.push(...entriesAfter(this.#lastTaken, entries))
    this.#lastTaken = this.#queue.at(-1)?.id ?? this.#lastTaken
    this.#wake()
  }

  /** Entries may have been delivered and lost on their way: what is in memory has to be made sure of. */
  recover(): void {
    if (this.#state === 'steady') this.#state = 'recovering'
    this.#wake()
  }

  /** Commits the batch at work and ends. The lease is still held then. */
  stop(): Promise<void> {
    if (this.#state !== 'lost') this.#state = 'stopping'
    this.#end.abort()
    this.#wake()
    return this.#done
  }

  /** Ends without another write: the lease is gone. */
  abandon(): Promise<void> {
    this.#state = 'lost'
    this.#end.abort()
    this.#wake()
    return this.#done
  }

  async #work(): Promise<void> {
    const { logFailure, metrics, reading, clock } = this.#options
    let failures = 0
    while (!this.#is('stopping', 'lost')) {
      try {
        if (this.#state === 'recovering') await this.#recover()
        else await this.#workOnQueue()
        failures = 0
      } catch (error) {
        if (error instanceof StoreError) metrics.storeErrors.inc()
        if (error instanceof StoreError || error instanceof MemoryOutdated) await this.#withdrawAttempt()
        failures++
        logFailure(error, 'work on a partition failed; recovering', { partition: this.partition, failures })
        this.recover()
        await clock.pause(backoffMs(failures, BACKOFF, clock.random), this.#end.signal)
      }
    }
    await this.#withdrawAttempt()
    await reading.leave(this.partition)
    this.#queue = []
    this.#windows.clear()
  }

  /** The state may change during any `await`: it has to be looked at afresh after each. */
  #is(...states: readonly State[]): boolean {
    return states.includes(this.#state)
  }

  async #recover(): Promise<void> {
    const { store, metrics, reading } = this.#options
    metrics.recoveries.inc()
    // First nothing may be delivered any more, or it would be taken for an entry after the pending ones.
    await reading.leave(this.partition)
    this.#queue = []
    this.#windows.clear()
    await this.#withdrawAttempt()
    const { attempt, rulesVersion, ...checkpoint } = await store.loadCheckpoint(this.partition)
    this.#checkpoint = checkpoint
    await this.#adoptRules(await this.#options.rules.atLeast(rulesVersion))
    this.#kept = new KeptEntries(this.#options.settings.verdictsKept)
    this.#kept.add(await store.keptEntries(this.partition))
    // Work on pending entries was begun before and not ended by a commit: one of them may be deadly, so each goes alone.
    const isolates = attempt !== undefined

    let after = ENTRY_ID_ZERO
    for (;;) {
      const pending = await store.readPending(this.partition, after, PENDING_COUNT)
      if (!this.#is('recovering')) return
      this.#noticeRollback(pending)
      const last = pending.at(-1)
      if (last === undefined) {
        this.#state = 'steady'
        this.#lastTaken = this.#checkpoint.id
        reading.join(this)
        return
      }
      let rest = entriesAfter(this.#checkpoint.id, pending)
      const applied = pending.slice(0, pending.length - rest.length)
      if (applied.length > 0)
        await store.acknowledge(
          this.partition,
          applied.map(({ id }) => id),
        )
      while (rest.length > 0 && this.#is('recovering')) {
        const [head] = rest
        if (head === undefined) break
        const attempts = attempt?.id === head.id ? attempt.count : 0
        const run = await this.#pendingRun(isolates ? [head] : rest, attempts)
        if (run === undefined) return
        rest = rest.slice(run.entries.length)
        await this.#commitRun(run)
      }
      after = last.id
    }
  }

  /** The next run of pending entries, once it is noted that it is begun; undefined when the lease is gone. */
  async #pendingRun(entries: readonly Entry[], attempts: number): Promise<Run | undefined> {
    const { store, settings } = this.#options
    const [head] = entries
    if (head === undefined) return undefined
    if (attempts >= ATTEMPTS_MAX) {
      return deadRun(head, this.#checkpoint, `work on it was begun ${attempts} times and ended its analyzer each time`)
    }
    const attempt = { id: head.id, count: attempts + 1 }
    // Known before it is asked for: when the answer is lost, it may have been noted.
    this.#noted = attempt
    if (await store.noteAttempt(this.lease, attempt)) {
      return takeRun(entries, this.#checkpoint, settings.batchSamplesMax)
    }
    this.#state = 'lost'
    return undefined
  }

  /**
   * Takes back that work on a pending entry was begun: it failed, but this process lives, so the entry is not deadly. When that
   * fails too it is tried again, and in the end counts as an attempt: three of those in a row on one entry are needed.
   */
  async #withdrawAttempt(): Promise<void> {
    const attempt = this.#noted
    if (attempt === undefined) return
    try {
      await this.#options.store.withdrawAttempt(this.partition, attempt)
      this.#noted = undefined
    } catch (error) {
      this.#options.log.debug({ err: error, partition: this.partition, attempt }, 'an attempt could not be withdrawn')
    }
  }

  #noticeRollback(entries: readonly Entry[]): void {
    const { rollbacks, metrics, log } = this.#options
    const gone = rollbacks.observe(this.partition, entries)
    if (gone === 0) return
    metrics.samplesRolledBack.inc({ partition: this.partition }, gone)
    log.error({ partition: this.partition, gone }, 'Redis has forgotten accepted samples')
  }

  /** Works through a batch of what waits, or waits for something. */
  async #workOnQueue(): Promise<void> {
    const { clock } = this.#options
    if (this.#cameAgain.length > 0) {
      await this.#options.store.acknowledge(this.partition, this.#cameAgain.splice(0))
    }
    await this.#adoptRules(this.#options.rules.current)
    if (clock.monotonicMs() - this.#lookedForDueAt >= DUE_CHECK_MS) {
      this.#lookedForDueAt = clock.monotonicMs()
      await this.#doWhatIsDue()
    }
    if (this.#queue.length === 0) {
      await this.#waitForEntries()
      return
    }
    if (samplesIn(this.#queue) >= TURN_SAMPLES) {
      await this.#options.turn()
      if (!this.#is('steady')) return
    }
    const run = takeRun(this.#queue, this.#checkpoint, this.#options.settings.batchSamplesMax)
    this.#queue = this.#queue.slice(run.entries.length)
    this.#options.reading.wake()
    await this.#commitRun(run)
  }

  /**
   * Waits until it is woken. While nothing comes it looks now and then whether something waits all the same: a process that
   * lost the partition may have taken an entry with a read that it had begun before, and until another entry follows, nothing
   * else would show that.
   */
  async #waitForEntries(): Promise<void> {
    const { store, clock } = this.#options
    const woken = new AbortController()
    this.#wake = () => woken.abort()
    await clock.pause(IDLE_CHECK_MS, woken.signal)
    if (woken.signal.aborted || !this.#is('steady')) return
    const [backlog] = await store.backlogs([this.partition])
    const oldest = backlog?.oldest ?? null
    const isStuck = oldest !== null && oldest === this.#oldestWhenIdle && this.#queue.length === 0
    this.#oldestWhenIdle = oldest
    if (isStuck) throw new MemoryOutdated(`entry ${oldest} waits and was not delivered`)
  }

  async #commitRun(run: Run): Promise<void> {
    const { clock } = this.#options
    const begin = clock.monotonicMs()
    for (;;) {
      const missing = missingKeys(run, this.#windows, this.#rules)
      if (missing.length === 0) break
      await this.#load(missing)
    }
    const effects = analyseRun(run, this.#windows, this.#analyseOptions())
    const applied = run.readable.map(({ id, count }) => ({ id, samples: count }))
    const commit = this.#commitOf(run, effects, this.#kept.keepFrom(applied))
    const outcome = await this.#settle(commit)
    if (outcome === undefined) return
    switch (outcome.kind) {
      case 'ok':
      case 'already':
        this.#checkpoint = run.to
        this.#kept.add(applied)
        this.#noted = undefined
        this.#windows.evict()
        this.#observe(run, { outcome, effects, begin })
        return
      case 'stale':
      case 'gap':
        throw new MemoryOutdated(`the commit from ${commit.from.id} was refused: ${JSON.stringify(outcome)}`)
      case 'fenced':
        this.#options.log.warn({ partition: this.partition }, 'somebody else owns the partition')
        this.#state = 'lost'
        return
    }
  }

  #commitOf(run: Run, effects: Effects, keepFrom: EntryId | undefined): Commit {
    return {
      from: run.from,
      to: run.to,
      entries: run.entries,
      witness: run.witness,
      analysed: run.sampleCount,
      dead: run.deadSampleCount,
      rulesVersion: this.#rules.version,
      keys: effects.keys,
      anomalies: effects.anomalies,
      deadLetters: run.dead,
      verdicts: this.#options.settings.verdictsKept > 0 ? effects.verdicts : [],
      keepFrom,
      ...effects.ruleEffects,
    }
  }

  #analyseOptions() {
    const { settings, clock } = this.#options
    const { alertWaitMs } = settings
    return { partition: this.partition, settings, rules: this.#rules, analyzedAt: clock.wallMs(), alertWaitMs }
  }

  async #load(keys: readonly string[]): Promise<void> {
    const { store, metrics } = this.#options
    const rows = await store.loadWindows(this.partition, keys)
    const unreadable = this.#windows.unreadableCount
    for (const [i, key] of keys.entries()) this.#windows.load(key, rows[i] ?? null, this.#newShape)
    metrics.windowsLoaded.inc(keys.length)
    metrics.windowsUnreadable.inc(this.#windows.unreadableCount - unreadable)
  }

  /** Takes newer rules into force, and forgets what was counted for those that are gone. */
  async #adoptRules(rules: RuleSet): Promise<void> {
    if (rules.version <= this.#rules.version) return
    this.#rules = rules
    const { store, log } = this.#options
    const versions = new Map(rules.policies.map(({ rule, version }) => [rule ?? '', version]))
    const counted = await store.ruleCounts(this.partition)
    const stale = [...counted.keys()].filter(name => isStale(name, versions, rules.version))
    if (stale.length > 0) await store.dropRuleCounts(this.partition, stale)
    log.info({ partition: this.partition, version: rules.version }, 'other rules are in force')
  }

  /**
   * Resolves alerts whose time is over and notices keys that are silent, as of what the partition is worked through to: of
   * the last applied entry, and of now once nothing waits.
   */
  async #doWhatIsDue(): Promise<void> {
    const { store, metrics } = this.#options
    const { now, keys } = await store.expiredTimers(this.partition, DUE_KEYS_MAX)
    if (keys.length === 0 || !this.#is('steady')) return
    const requiresDrained = this.#queue.length === 0
    await this.#load(keys.filter(key => this.#windows.use(key) === undefined))
    const time = requiresDrained ? now : entryTimeMs(this.#checkpoint.id)
    const effects = expireTimers(keys, time, this.#windows, this.#analyseOptions())
    const { id, offset } = this.#checkpoint
    const checkpoint = { id, offset }
    const outcome = await this.#settle({
      ...{ from: checkpoint, to: checkpoint, entries: [], requiresDrained, witness: undefined, analysed: 0, dead: 0 },
      rulesVersion: this.#rules.version,
      ...{ keys: effects.keys, anomalies: [], deadLetters: [], verdicts: [], keepFrom: undefined },
      ...effects.ruleEffects,
    })
    switch (outcome?.kind) {
      case 'ok':
        observeEffects(metrics, effects)
        this.#windows.evict()
        return
      case 'gap':
        // Something has come in the meantime; it is worked on first. What was reckoned is forgotten.
        for (const key of keys) this.#windows.forget(key)
        return
      case 'fenced':
        this.#state = 'lost'
        return
      case undefined:
        return
      default:
        throw new MemoryOutdated(`what is due could not be done: ${JSON.stringify(outcome)}`)
    }
  }

  /** Sends a commit until the store says what became of it; undefined when the lease ran out before that. */
  async #settle(commit: Commit): Promise<CommitOutcome | undefined> {
    const { store, metrics, logFailure, holdsLease, clock } = this.#options
    for (let attempt = 1; holdsLease() && this.#state !== 'lost'; attempt++) {
      try {
        const outcome = await store.commit(this.lease, commit)
        metrics.commits.inc({ result: outcome.kind })
        return outcome
      } catch (error) {
        metrics.commits.inc({ result: 'failed' })
        logFailure(error, 'a commit got no answer; sending it again', { partition: this.partition, attempt })
        await clock.pause(backoffMs(attempt, BACKOFF, clock.random))
      }
    }
    this.#state = 'lost'
    return undefined
  }

  #observe(run: Run, { outcome, effects, begin }: { outcome: CommitOutcome; effects: Effects; begin: number }): void {
    const { metrics, log, clock, onTraced } = this.#options
    metrics.samplesAnalysed.inc(run.sampleCount)
    observeEffects(metrics, effects)
    metrics.batchSamples.observe(run.sampleCount)
    const tookMs = clock.monotonicMs() - begin
    metrics.batchSeconds.observe(tookMs / 1000)
    const lost = run.to.offset - run.from.offset - run.sampleCount - run.deadSampleCount
    if (lost > 0) {
      metrics.samplesLost.inc(lost)
      log.error(
        { partition: this.partition, lost, from: run.from, to: run.to },
        'accepted samples were gone from the stream',
      )
    }
    for (const { id, reason } of run.dead) {
      metrics.deadLetters.inc()
      log.error({ partition: this.partition, id, reason, ...tracesOf(run, id) }, 'an entry could not be read')
    }
    if (run.traced.length > 0) onTraced?.({ partition: this.partition, run, outcome, tookMs })
    if (outcome.kind !== 'ok') return
    for (const { id } of run.readable) metrics.delaySeconds.observe(Math.max(0, outcome.at - entryTimeMs(id)) / 1000)
  }
}

/** Whether counts are of a rule that is gone, or that was changed since. Those of rules that are newer than ours stay. */
function isStale(name: string, versions: ReadonlyMap<string, number>, newest: number): boolean {
  const counted = parseRuleCountName(name)
  if (counted === undefined) return true
  const current = versions.get(counted.rule)
  return counted.version !== current && counted.version <= Math.max(newest, current ?? 0)
}

function samplesIn(entries: readonly Entry[]): number {
  return entries.reduce((sum, { count }) => sum + (count ?? 0), 0)
}
