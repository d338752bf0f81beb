import { rowShape } from '@tidemark/shared/detection/key-row'
import { parseRuleCountName } from '@tidemark/shared/detection/rules/rule-counts'
import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { backoffMs } from '@tidemark/shared/runtime/clock'
import type { Entry } from '@tidemark/shared/sample/entry'
import {
  arrivalMs,
  compareEntryIds,
  ENTRY_ID_ZERO,
  type EntryId,
  entryTimeMs,
  IDS_AHEAD_MIN_MS,
} from '@tidemark/shared/sample/receipt'
import type { AnalyzerStore, Attempt } from '@tidemark/shared/store/ports/analyzer'
import type { Checkpoint, Commit, CommitOutcome } from '@tidemark/shared/store/ports/commit'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { type Deletion, KEY_LISTS, type KeyStore } from '@tidemark/shared/store/ports/keys'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { VerdictSettings } from '@tidemark/shared/verdict/analysis'
import type { Context } from '../context.ts'
import { Aggregates, OPEN_BUCKETS_BYTES } from '../judging/aggregates.ts'
import { analyseRun, endKeys, expireTimers, isAtRest, keyBytesMax, missingKeys } from '../judging/analyse.ts'
import { Effects } from '../judging/effects.ts'
import type { RowMemory } from '../judging/row-memory.ts'
import type { RuleSource } from '../judging/rule-source.ts'
import { deadLetterRun, entriesAfter, type Run, takeRun } from '../judging/run.ts'
import { SHADOW, Windows } from '../judging/windows.ts'
import type { EntryConsumer, ReadLoop } from '../reading/read-loop.ts'
import { untilNext } from '../repeat.ts'
import { ATTEMPTS_MAX, Attempts } from './attempts.ts'
import { EntryQueue } from './entry-queue.ts'
import { KeptEntries } from './kept-entries.ts'
import { KeySweep } from './key-sweep.ts'
import { type ObserveOptions, observeCommit, observeEffects } from './observe-commit.ts'
import type { RollbackWatch } from './rollback-watch.ts'
import type { RunLimit } from './run-limit.ts'
import { RunSize } from './run-size.ts'
import type { Yield } from './yielding.ts'

const BACKOFF = { minMs: 20, maxMs: 2000 }

/** Interval of an idle worker's checks. An entry that is oldest in two of them is stuck. */
const IDLE_CHECK_MS = 1000

/** How often an idle worker reads its backlog although all accepted samples seem applied. */
const BACKLOG_CHECK_MS = 10_000

/** How often timers are checked, and so how late they can expire. */
const TIMER_CHECK_MS = 1000

/** Keys whose timers expire in one commit, and keys that one commit evicts. */
const TIMER_KEYS_MAX = 1000
const EVICTED_KEYS_MAX = 1000

/** Keys of one look for those to delete. */
const DELETION_SCAN_KEYS = 1000

/** The current batch and the next one, so that worker and reader do not wait for each other. */
const QUEUE_BATCHES = 2

/** Bytes of the rows that one run may touch, unless its first entry alone touches more. */
const RUN_BYTES_MAX = 16 * 1024 * 1024

/** A batch of this size yields the event loop first; a smaller one hardly delays others. */
const YIELD_SAMPLES = 1000

/** How long new keys are matched against the rules before other work gets its turn. */
const MATCHING_MS = 10

export interface WorkerSettings extends VerdictSettings {
  readonly batchSamplesMax: number
  /** Windows of the partition in memory. */
  readonly keysMax: number
  readonly verdictsKept: number
  readonly alertWaitMs: number
  /** Keys without a sample for so long are evicted; 0 for never. */
  readonly keyIdleTtlMs: number
  readonly aggregates: boolean
  /** Undefined if there is no sink. */
  readonly sinkIntervalMs?: number | undefined
}

export type Rules = Pick<RuleSource, 'current' | 'refreshed'>

type State = 'recovering' | 'steady' | 'stopping' | 'lost'

/** Memory and Redis may differ, so memory must be discarded. */
class MemoryOutdated extends Error {}

export interface PartitionWorkerOptions extends Context, ObserveOptions {
  readonly lease: Lease
  readonly store: AnalyzerStore
  readonly keys: KeyStore
  readonly settings: WorkerSettings
  readonly reading: ReadLoop
  /** Of the windows of all partitions. */
  readonly memory: RowMemory
  /** Of the runs of all partitions. */
  readonly runs: RunLimit
  readonly rules: Rules
  readonly rollbacks: RollbackWatch
  /** Whether the lease is certainly still held, by the clock of this process. */
  readonly holdsLease: () => boolean
  /** Awaited before a large batch: one partition goes on per round of the event loop. */
  readonly yieldToOthers: Yield
}

/**
 * Processes one partition, from take-over to hand-off.
 *
 *     recovering  discards memory, loads the checkpoint, processes pending entries; then steady
 *     steady      processes the entries that the reader delivers, in batches with one commit each
 *     stopping    commits the current batch, leaves the queue pending for the next owner, then ends
 *     lost        another process may own the partition: writes nothing any more, then ends
 *
 * It goes from steady back to recovering when memory and Redis may differ: after a failed read, a
 * commit that is stale or finds a gap, or a bug. A commit with an unknown outcome is repeated: the
 * store applies it only once. Any other request that the store does not fulfil changes nothing, so
 * memory stays and the request is repeated.
 */
export class PartitionWorker implements EntryConsumer {
  readonly partition: number
  readonly #options: PartitionWorkerOptions
  readonly #windows: Windows
  readonly #aggregates: Aggregates | null
  readonly #runSize = new RunSize()
  readonly #attempts: Attempts
  #kept: KeptEntries
  readonly #sweep: KeySweep
  #state: State = 'recovering'
  #checkpoint: Checkpoint = { id: ENTRY_ID_ZERO, offset: 0 }
  /** Commits without entries so far. What is in memory follows from them too. */
  #timeCommits = 0
  /** As of the last recovery or newer, so not older than the rules that scored what is applied. */
  #rules: RuleSet
  /** By the monotonic clock. */
  #timersCheckedAt = Number.NEGATIVE_INFINITY
  /** No timer expires before, by the store's clock. */
  #timersFrom = Number.NEGATIVE_INFINITY
  #mayHaveDeletions = true
  /** Of the run in progress. */
  #permit: Disposable | undefined
  /** How far the store's clock is ahead of the monotonic clock. */
  #storeAheadMs = 0
  #storeAheadMaxMs = 0
  /** Entries after the checkpoint. */
  #queue = new EntryQueue(ENTRY_ID_ZERO)
  /** Applied entries delivered again, after the consumer group was moved back: still pending. */
  #redelivered: EntryId[] = []
  #wake: () => void = () => undefined
  /** The oldest entry of the backlog when that was read last, and when by the monotonic clock. */
  #oldestWhenIdle: EntryId | null = null
  #backlogReadAt = Number.NEGATIVE_INFINITY
  /** Aborts the pauses between retries when the worker ends. */
  readonly #end = new AbortController()
  readonly #done: Promise<void>

  constructor(options: PartitionWorkerOptions) {
    const { lease, settings, rules, metrics } = options
    this.#options = options
    this.partition = lease.partition
    const besideBytes = settings.aggregates ? OPEN_BUCKETS_BYTES : 0
    this.#aggregates = settings.aggregates ? new Aggregates() : null
    const { memory } = options
    this.#windows = new Windows({ memory, keysMax: settings.keysMax, besideBytes, follower: this.#aggregates })
    this.#attempts = new Attempts(options)
    this.#kept = new KeptEntries(settings.verdictsKept)
    this.#sweep = new KeySweep({ store: options.keys, partition: this.partition, idleTtlMs: settings.keyIdleTtlMs })
    this.#rules = rules.current
    // Creates the series at 0: a series that is absent cannot rise.
    metrics.samplesRolledBack.inc({ partition: this.partition }, 0)
    this.#done = this.#work()
  }

  get takesEntries(): boolean {
    const { batchSamplesMax } = this.#options.settings
    return this.#state === 'steady' && this.#queue.samples < QUEUE_BATCHES * batchSamplesMax
  }

  get queuedBytes(): number {
    return this.#queue.bytes
  }

  get keyCount(): number {
    return this.#windows.keyCount
  }

  /** How far the ids of applied entries are ahead of the store's clock; 0 if they are not. */
  get idsAheadMs(): number {
    const ahead = entryTimeMs(this.#checkpoint.id) - this.#storeNow()
    return this.#state === 'steady' && ahead > IDS_AHEAD_MIN_MS ? ahead : 0
  }

  /** The store's clock, Unix milliseconds; undefined while it is not known. */
  get storeNow(): number | undefined {
    return this.#state === 'steady' ? this.#storeNow() : undefined
  }

  get isLost(): boolean {
    return this.#state === 'lost'
  }

  /** Queues entries that were read. Unless steady, leaves them pending, for the recovery. */
  offer(entries: readonly Entry[]): void {
    if (this.#state !== 'steady') return
    this.#detectRollback(entries)
    for (const { id } of entries) if (compareEntryIds(id, this.#checkpoint.id) <= 0) this.#redelivered.push(id)
    this.#queue.add(entries)
    this.#wake()
  }

  recover(): void {
    if (this.#state === 'steady') this.#state = 'recovering'
    this.#wake()
  }

  /** Commits the current batch and ends. The lease must be held until then. */
  stop(): Promise<void> {
    return this.#endAs(this.#state === 'lost' ? 'lost' : 'stopping')
  }

  /** Ends without another write: the lease is lost. */
  abandon(): Promise<void> {
    return this.#endAs('lost')
  }

  #endAs(state: State): Promise<void> {
    this.#state = state
    this.#end.abort()
    this.#wake()
    return this.#done
  }

  async #work(): Promise<void> {
    const { clock } = this.#options
    let failures = 0
    while (!this.#is('stopping', 'lost')) {
      try {
        if (this.#state === 'recovering') await this.#recover()
        else await this.#workOnQueue()
        failures = 0
      } catch (error) {
        failures++
        await this.#onFailure(error, failures)
        await clock.pause(backoffMs(failures, BACKOFF, clock.random), this.#end.signal)
      } finally {
        this.#leaveRun()
      }
    }
    await this.#attempts.withdraw()
    await this.#discardMemory()
    this.#windows[Symbol.dispose]()
  }

  async #onFailure(error: unknown, failures: number): Promise<void> {
    const { log, logFailure, metrics } = this.#options
    const { partition } = this
    if (error instanceof StoreError) {
      metrics.storeErrors.inc()
      await this.#attempts.withdraw()
      logFailure(error, 'a request to the store failed; retrying', { partition, failures })
    } else if (error instanceof MemoryOutdated) {
      await this.#attempts.withdraw()
      logFailure(error, 'processing the partition failed; recovering', { partition, failures })
      this.recover()
    } else {
      metrics.faults.inc()
      this.#attempts.fail(error)
      log.error({ err: error, partition, failures }, 'a bug stopped the partition; recovering')
      this.recover()
    }
  }

  async #discardMemory(): Promise<void> {
    await this.#options.reading.leave(this.partition)
    this.#queue = new EntryQueue(ENTRY_ID_ZERO)
    this.#windows.clear()
    this.#aggregates?.clear()
  }

  /** The state may change during any `await`: check it again after each. */
  #is(...states: readonly State[]): boolean {
    return states.includes(this.#state)
  }

  async #recover(): Promise<void> {
    const { store, metrics, reading, rules, settings, clock } = this.#options
    metrics.recoveries.inc()
    // Delivery must end first: an entry delivered now would be queued before the pending ones.
    await this.#discardMemory()
    this.#timersFrom = Number.NEGATIVE_INFINITY
    this.#mayHaveDeletions = true
    await this.#attempts.withdraw({ inRecovery: true })
    const { attempt, rulesVersion, timeCommits, ...checkpoint } = await store.loadCheckpoint(this.partition)
    this.#checkpoint = checkpoint
    this.#timeCommits = timeCommits
    await this.#adoptRules(await rules.refreshed(rulesVersion))
    const sentAt = clock.monotonicMs()
    this.#setStoreClock((await store.expiredTimers(this.partition, 1)).now, sentAt)
    this.#kept = new KeptEntries(settings.verdictsKept)
    this.#kept.add(await store.keptEntries(this.partition))

    let after = ENTRY_ID_ZERO
    while (this.#is('recovering')) {
      const pending = await store.readPending(this.partition, after, reading.pageSize)
      if (!this.#is('recovering')) return
      reading.learn(pending)
      this.#detectRollback(pending)
      const last = pending.at(-1)
      if (last === undefined) {
        this.#state = 'steady'
        this.#queue = new EntryQueue(this.#checkpoint.id)
        reading.join(this)
        return
      }
      const rest = entriesAfter(this.#checkpoint.id, pending)
      const applied = pending.slice(0, pending.length - rest.length).map(({ id }) => id)
      if (applied.length > 0) await store.acknowledge(this.partition, applied)
      await this.#workOnPending(rest, attempt)
      after = last.id
    }
  }

  /** Processes pending entries: one by one after a crash, since one may be a poison entry. */
  async #workOnPending(pending: readonly Entry[], attempt: Attempt | undefined): Promise<void> {
    let rest = pending
    for (let [head] = rest; head !== undefined && this.#is('recovering'); [head] = rest) {
      const attempts = attempt?.id === head.id ? attempt.count : 0
      let run: Run
      if (attempts >= ATTEMPTS_MAX) {
        run = deadLetterRun(head, this.#checkpoint, this.#attempts.reasonAfter(attempts))
      } else if (await this.#attempts.begin(head.id, attempts + 1)) {
        run = takeRun(attempt === undefined ? rest : [head], this.#checkpoint, this.#runSamplesMax)
      } else {
        this.#state = 'lost'
        return
      }
      rest = rest.slice(run.entries.length)
      const begin = this.#options.clock.monotonicMs()
      await this.#prepare(run)
      await this.#commitRun(run, begin)
    }
  }

  #detectRollback(entries: readonly Entry[]): void {
    const { rollbacks, metrics, log } = this.#options
    const lost = rollbacks.observe(this.partition, entries)
    if (lost === 0) return
    metrics.samplesRolledBack.inc({ partition: this.partition }, lost)
    log.error({ partition: this.partition, lost }, 'Redis lost accepted samples')
  }

  async #workOnQueue(): Promise<void> {
    const { store, rules, reading, metrics, yieldToOthers, clock } = this.#options
    if (this.#redelivered.length > 0) {
      const ids = [...this.#redelivered]
      await store.acknowledge(this.partition, ids)
      this.#redelivered.splice(0, ids.length)
    }
    await this.#adoptRules(rules.current)
    if (clock.monotonicMs() - this.#timersCheckedAt >= TIMER_CHECK_MS) {
      this.#timersCheckedAt = clock.monotonicMs()
      // Other partitions may need the memory that this one has beyond its share.
      metrics.windowsEvicted.inc(this.#windows.evict())
      await this.#expireTimers()
      await this.#evictIdleKeys()
      if (this.#mayHaveDeletions) await this.#deleteKeys()
      this.#leaveRun()
    }
    if (this.#queue.isEmpty) {
      await this.#waitForEntries()
      return
    }
    if (this.#queue.samples >= YIELD_SAMPLES) {
      await yieldToOthers()
      if (!this.#is('steady')) return
    }
    const begin = clock.monotonicMs()
    const run = takeRun(this.#queue.entries, this.#checkpoint, this.#runSamplesMax)
    await this.#prepare(run)
    this.#queue.remove(run.entries.length)
    reading.wake()
    await this.#commitRun(run, begin)
  }

  /** Waits for entries; at each multiple of `IDLE_CHECK_MS` without one, checks for other work. */
  async #waitForEntries(): Promise<void> {
    const { store, clock } = this.#options
    const woken = new AbortController()
    this.#wake = () => woken.abort()
    await clock.pause(untilNext(IDLE_CHECK_MS, clock), woken.signal)
    if (woken.signal.aborted || !this.#is('steady')) return
    const sentAt = clock.monotonicMs()
    const { now, accepted, hasDeletions } = await store.atRest(this.partition)
    this.#setStoreClock(now, sentAt)
    this.#mayHaveDeletions = hasDeletions
    // At rest, timers cost nothing before one expires.
    this.#timersCheckedAt = Number.NEGATIVE_INFINITY
    const isRest = accepted === this.#checkpoint.offset && this.#oldestWhenIdle === null
    if (!isRest || sentAt - this.#backlogReadAt >= BACKLOG_CHECK_MS) await this.#checkBacklog()
  }

  /** A former owner's late read may have taken an entry, and only a further one would show it. */
  async #checkBacklog(): Promise<void> {
    const { store, clock } = this.#options
    this.#backlogReadAt = clock.monotonicMs()
    const [backlog] = await store.backlogs([this.partition])
    const oldest = backlog?.oldest ?? null
    const isStuck = oldest !== null && oldest === this.#oldestWhenIdle && this.#queue.isEmpty
    this.#oldestWhenIdle = oldest
    if (isStuck) throw new MemoryOutdated(`entry ${oldest} is in the backlog and was not delivered`)
  }

  /** Samples of a run: fewer than the setting if rules make rows so large. */
  get #runSamplesMax(): number {
    const { batchSamplesMax } = this.#options.settings
    return Math.min(
      batchSamplesMax,
      this.#runSize.samplesMax,
      Math.max(1, Math.floor(RUN_BYTES_MAX / keyBytesMax(this.#rules))),
    )
  }

  /** Waits until there is memory for the windows of so many keys and their commit. */
  async #enterRun(keys: number): Promise<void> {
    this.#leaveRun()
    this.#permit = await this.#options.runs.enter(keys * keyBytesMax(this.#rules))
  }

  #leaveRun(): void {
    this.#permit?.[Symbol.dispose]()
    this.#permit = undefined
  }

  /** Waits for memory, then loads the windows of a run that are missing. Changes no window. */
  async #prepare(run: Run): Promise<void> {
    const { clock, yieldToOthers } = this.#options
    await this.#enterRun(run.analysed)
    for (;;) {
      const until = clock.monotonicMs() + MATCHING_MS
      const missing = missingKeys(run, this.#windows, this.#rules, () => clock.monotonicMs() > until)
      if (missing === undefined) await yieldToOthers()
      else if (missing.length === 0) break
      else await this.#load(missing)
    }
  }

  async #commitRun(run: Run, begin: number): Promise<void> {
    const { metrics, clock } = this.#options
    const effects = analyseRun(run, this.#windows, this.#analyseOptions(), this.#aggregates)
    const applied = run.readable.map(({ id, count }) => ({ id, samples: count }))
    const sentAt = clock.monotonicMs()
    const outcome = await this.#commit({ ...this.#commitOf(run, effects), keepFrom: this.#kept.keepFrom(applied) })
    if (outcome === undefined) return
    if (outcome.kind !== 'ok' && outcome.kind !== 'already') {
      throw new MemoryOutdated(`the commit from ${run.from.id} was rejected: ${JSON.stringify(outcome)}`)
    }
    if (outcome.kind === 'ok') this.#setStoreClock(outcome.at, sentAt)
    this.#checkpoint = run.to
    this.#kept.add(applied)
    this.#attempts.end()
    this.#runSize.add(run.analysed, effects.keys.length)
    metrics.windowsEvicted.inc(this.#windows.evict())
    this.#leaveRun()
    const tookMs = clock.monotonicMs() - begin
    observeCommit({ partition: this.partition, run, outcome, tookMs }, effects, this.#options)
  }

  /** Expires timers as of the last applied entry; as of now if the backlog is empty. */
  async #expireTimers(): Promise<void> {
    const { store, metrics, clock } = this.#options
    const sentAt = clock.monotonicMs()
    if (this.#storeNow() < this.#timersFrom) return
    const { now, keys, firstAt } = await store.expiredTimers(this.partition, TIMER_KEYS_MAX)
    this.#setStoreClock(now, sentAt)
    if (keys.length === 0) this.#timersFrom = firstAt ?? Number.POSITIVE_INFINITY
    if (keys.length === 0 || !this.#is('steady')) return
    const requiresDrained = this.#queue.isEmpty
    await this.#enterRun(keys.length)
    await this.#load(keys.filter(key => this.#windows.use(key) === undefined))
    const time = requiresDrained ? now : arrivalMs(this.#checkpoint.id, now)
    const effects = expireTimers(keys, time, this.#windows, this.#analyseOptions(), this.#aggregates)
    const noEntries = takeRun([], this.#checkpoint, 0)
    const outcome = await this.#commit({ ...this.#commitOf(noEntries, effects), requiresDrained })
    if (outcome === undefined) return
    if (outcome.kind === 'gap') {
      // An entry has arrived; it is processed first. The results of the timers are discarded.
      for (const key of keys) this.#windows.drop(key)
      return
    }
    if (outcome.kind !== 'ok') throw new MemoryOutdated(`the timers could not be expired: ${JSON.stringify(outcome)}`)
    observeEffects(effects, this.#options)
    metrics.windowsEvicted.inc(this.#windows.evict())
  }

  /** Evicts keys that are idle as of the last applied entry; as of now if the backlog is empty. */
  async #evictIdleKeys(): Promise<void> {
    if (!this.#is('steady')) return
    const requiresDrained = this.#queue.isEmpty
    const now = this.#storeNow()
    const time = requiresDrained ? now : arrivalMs(this.#checkpoint.id, this.#storeNowAtMost())
    const idle = await this.#sweep.step(this.#options.clock.monotonicMs(), time)
    for (let at = 0; at < idle.length && this.#is('steady'); at += EVICTED_KEYS_MAX) {
      const keys = idle.slice(at, at + EVICTED_KEYS_MAX)
      await this.#enterRun(keys.length)
      const cold = keys.filter(key => this.#windows.use(key) === undefined)
      await this.#load(cold)
      const evicted = keys.filter(key => isAtRest(this.#windows.row(this.#windows.use(key) as number)))
      const isDone = await this.#evict(evicted, new Effects(this.#analyseOptions()), { requiresDrained, deletion: '' })
      for (const key of cold) this.#windows.drop(key)
      if (!isDone) {
        this.#sweep.repeat()
        return
      }
    }
  }

  /** Does what operators requested: deletes keys with their alerts. */
  async #deleteKeys(): Promise<void> {
    const { keys: store, lease } = this.#options
    if (!this.#is('steady')) return
    for (const deletion of await store.deletions(this.partition)) {
      // Samples that were accepted before it must be applied first, or they would bring keys back.
      if (compareEntryIds(this.#checkpoint.id, deletion.after) < 0) continue
      if (!(await this.#deleteAll(deletion)) || !this.#is('steady')) return
      if (!(await store.finishDeletion(lease, deletion.id))) return
    }
  }

  /** False when it must be repeated later, from the beginning. */
  async #deleteAll({ id, wanted }: Deletion): Promise<boolean> {
    if ('key' in wanted) return this.#deleteSome([wanted.key], id)
    for (const list of KEY_LISTS) {
      let cursor = '0'
      do {
        const scan = { list, cursor, count: DELETION_SCAN_KEYS, prefix: wanted.prefix }
        const { keys, next } = await this.#options.keys.scan(this.partition, scan)
        if (!(await this.#deleteSome(keys, id))) return false
        cursor = next
      } while (cursor !== '0')
    }
    return true
  }

  async #deleteSome(keys: readonly string[], deletion: string): Promise<boolean> {
    for (let at = 0; at < keys.length; at += EVICTED_KEYS_MAX) {
      const some = keys.slice(at, at + EVICTED_KEYS_MAX)
      if (!this.#is('steady')) return false
      await this.#enterRun(some.length)
      await this.#load(some.filter(key => this.#windows.use(key) === undefined))
      const effects = endKeys(some, this.#storeNow(), this.#windows, this.#analyseOptions())
      // Whatever arrives later begins afresh, so nothing need be drained.
      if (!(await this.#evict(some, effects, { requiresDrained: false, deletion }))) return false
    }
    return true
  }

  /**
   * Removes keys, in Redis and in memory. False when nothing was done: a sample has arrived, which
   * is processed first, or the lease is lost.
   */
  async #evict(
    keys: readonly string[],
    effects: Effects,
    { requiresDrained, deletion }: { readonly requiresDrained: boolean; readonly deletion: string },
  ): Promise<boolean> {
    if (keys.length === 0) return true
    const { metrics } = this.#options
    const evicted = keys.map(key => ({ key, shadow: SHADOW + key, deletion }))
    const noEntries = takeRun([], this.#checkpoint, 0)
    const outcome = await this.#commit({ ...this.#commitOf(noEntries, effects), requiresDrained, evicted })
    for (const { key, shadow } of evicted) {
      this.#windows.drop(key)
      this.#windows.drop(shadow)
    }
    if (outcome === undefined || outcome.kind === 'gap') return false
    if (outcome.kind !== 'ok') throw new MemoryOutdated(`keys could not be evicted: ${JSON.stringify(outcome)}`)
    observeEffects(effects, this.#options)
    metrics.keysEvicted.inc({ reason: deletion === '' ? 'idle' : 'deleted' }, outcome.evicted ?? 0)
    return true
  }

  #commitOf({ readable, traced, ...run }: Run, effects: Effects): Commit {
    const { keys, anomalies, points, verdicts, refusedKeys, ruleEffects, aggregates } = effects
    const kept = this.#options.settings.verdictsKept > 0 ? verdicts : []
    const { version: rulesVersion } = this.#rules
    const at = this.#options.clock.wallMs()
    const refused = refusedKeys.map(key => ({ key, at }))
    return {
      ...run,
      rulesVersion,
      timeCommits: this.#timeCommits,
      keys,
      anomalies,
      points,
      verdicts: kept,
      keepFrom: undefined,
      ...ruleEffects,
      refused,
      aggregates,
    }
  }

  #analyseOptions() {
    const { settings, clock } = this.#options
    const { alertWaitMs, sinkIntervalMs } = settings
    const [analyzedAt, now] = [clock.wallMs(), this.#storeNowAtMost()]
    const sinkInterval = sinkIntervalMs === undefined ? undefined : Math.floor(this.#storeNow() / sinkIntervalMs)
    return { partition: this.partition, settings, rules: this.#rules, analyzedAt, now, alertWaitMs, sinkInterval }
  }

  /** Takes over the store's clock from the response to a request that was sent at `sentAt`. */
  #setStoreClock(now: number, sentAt: number): void {
    this.#storeAheadMs = now - this.#options.clock.monotonicMs()
    this.#storeAheadMaxMs = now - sentAt
  }

  #storeNow(): number {
    return Math.floor(this.#options.clock.monotonicMs() + this.#storeAheadMs)
  }

  /** After a late response the store's clock is up to its latency ahead of #storeNow. */
  #storeNowAtMost(): number {
    return Math.floor(this.#options.clock.monotonicMs() + this.#storeAheadMaxMs)
  }

  async #load(keys: readonly string[]): Promise<void> {
    const { store, metrics, settings } = this.#options
    const [rows, buckets] = await Promise.all([
      store.loadWindows(this.partition, keys),
      this.#aggregates === null ? [] : store.openBuckets(this.partition, keys),
    ])
    const unreadable = this.#windows.unreadableCount
    // The shape of a key that was never seen, until the rules are applied to it.
    const newShape = rowShape(settings.window, 'zscore', false, false, 'values')
    for (const [i, key] of keys.entries()) {
      const slot = this.#windows.load(key, rows[i] ?? null, newShape)
      this.#aggregates?.load(slot, this.#windows.row(slot), buckets[i] ?? null)
    }
    metrics.windowsLoaded.inc(keys.length)
    metrics.windowsUnreadable.inc(this.#windows.unreadableCount - unreadable)
  }

  /** Puts the rules into force, and drops the counts of rules that were deleted or changed. */
  async #adoptRules(rules: RuleSet): Promise<void> {
    if (rules === this.#rules) return
    this.#rules = rules
    const { store, log } = this.#options
    const versions = new Map(rules.policies.map(({ rule, version }) => [rule ?? '', version]))
    const counted = await store.ruleCounts(this.partition)
    const stale = [...counted.keys()].filter(name => isStale(name, versions, rules.version))
    if (stale.length > 0) await store.dropRuleCounts(this.partition, stale)
    log.info({ partition: this.partition, version: rules.version }, 'new rules are in force')
  }

  /**
   * Sends a commit until the store reports its outcome; undefined if the lease is lost. A worker
   * that stops does not repeat one that failed: the lease may last longer than the process may take
   * to stop, and the next owner finds the commit applied, or its entries pending.
   */
  async #commit(commit: Commit): Promise<CommitOutcome | undefined> {
    const { store, lease, metrics, log, logFailure, holdsLease, clock } = this.#options
    // It may set timers, and a deletion may wait for its samples.
    this.#timersFrom = Number.NEGATIVE_INFINITY
    this.#mayHaveDeletions = true
    for (let attempt = 1; holdsLease() && this.#state !== 'lost'; attempt++) {
      try {
        const outcome = await store.commit(lease, commit)
        metrics.commits.inc({ result: outcome.kind })
        if (outcome.kind === 'ok' && commit.entries.length === 0) this.#timeCommits++
        if (outcome.kind !== 'fenced') return outcome
        log.warn({ partition: this.partition }, 'lost the lease of the partition; another process owns it')
        break
      } catch (error) {
        // A bug would fail each time.
        if (!(error instanceof StoreError)) throw error
        metrics.commits.inc({ result: 'failed' })
        // It waits for an operator, and the other partitions must not wait too.
        if (error.kind === 'fatal') this.#leaveRun()
        logFailure(error, 'the commit failed; retrying', { partition: this.partition, attempt })
        if (this.#is('stopping')) break
        await clock.pause(backoffMs(attempt, BACKOFF, clock.random), this.#end.signal)
      }
    }
    this.#state = 'lost'
    return undefined
  }
}

/** Whether counts belong to a rule that was deleted or changed, and not to a newer rule set. */
function isStale(name: string, versions: ReadonlyMap<string, number>, newest: number): boolean {
  const counted = parseRuleCountName(name)
  if (counted === undefined) return true
  const current = versions.get(counted.rule)
  return counted.version !== current && counted.version <= Math.max(newest, current ?? 0)
}
