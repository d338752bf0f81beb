import { isDeepStrictEqual } from 'node:util'
import { stormEnd, stormOpening } from '@tidemark/shared/detection/alerts/openings'
import { FLEET_PARTITION } from '@tidemark/shared/detection/alerts/record'
import { type StormEvent, type StormPolicy, StormWatch } from '@tidemark/shared/detection/alerts/storm'
import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { ENTRY_ID_ZERO, type EntryId } from '@tidemark/shared/sample/receipt'
import type { AlertFeedEntry, SavedStorm } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import { attempt } from '../repeat.ts'
import type { NotifierOptions } from './options.ts'
import { parseSavedWatch, type SavedWatch } from './storm-view.ts'

/** Entries of a partition's feed per read. */
const FEED_MAX = 1000

/**
 * How often the feeds are read, and how often after they were empty for ALERT_WAIT_MS. A storm must
 * be found before its first alert is notified, which waits ALERT_WAIT_MS: the longer pause and the
 * age of a StormView are 1.5 s together, so it needs an ALERT_WAIT_MS of 2 s, the default.
 */
const KEEP_MS = 500
const REST_KEEP_MS = 1000

/** How often keys and alerts are counted during a storm, which is a share of the keys. */
const COUNTED_MS = 10_000

interface Watching {
  readonly lease: Lease
  watch: StormWatch
  policy: StormPolicy
  positions: Record<string, EntryId>
  keysTotal: number
  countedAt: number
}

/**
 * Detects alert storms across all partitions, on the analyzer that owns the fleet's partition. It
 * saves positions, counts and results together under that lease; the next owner goes on from there.
 */
export class StormKeeper {
  readonly #options: NotifierOptions
  readonly #onSaved: () => void
  #watching: Watching | undefined
  /** When the feeds were last found not empty, by the monotonic clock. */
  #readAt = Number.NEGATIVE_INFINITY

  /** `onSaved` is called when a storm's alert was opened or ended. */
  constructor(options: NotifierOptions, onSaved: () => void) {
    this.#options = options
    this.#onSaved = onSaved
  }

  /** The pause before the feeds are read again. */
  get paceMs(): number {
    const { waitMs, clock } = this.#options
    const isAtRest = this.#watching?.watch.isStorm !== true && clock.monotonicMs() - this.#readAt >= waitMs
    return isAtRest && waitMs >= 2 * REST_KEEP_MS ? REST_KEEP_MS : KEEP_MS
  }

  async keep(): Promise<void> {
    // A save that failed may have succeeded in the store, so memory may be behind: load it again.
    if (!(await attempt('storm detection', () => this.#keep(), this.#options))) this.#watching = undefined
  }

  async #keep(): Promise<void> {
    const { leases, rules, clock } = this.#options
    const lease = leases().find(({ partition }) => partition === FLEET_PARTITION)
    if (lease === undefined) {
      this.#watching = undefined
      return
    }
    if (this.#watching?.lease.token !== lease.token) this.#watching = await this.#load(lease)
    const watching = this.#watching
    if (!isDeepStrictEqual(watching.policy, rules.current.storm)) {
      watching.policy = rules.current.storm
      watching.watch = new StormWatch(watching.policy, watching.watch.toJSON())
    }
    await this.#expire(watching)
    const isCountDue = watching.watch.isStorm && clock.monotonicMs() - watching.countedAt >= COUNTED_MS
    // Counted before the feeds are read: alerts that ended before the count are in the feeds.
    const firing = isCountDue ? await this.#count(watching) : undefined
    const feeds = await this.#readFeeds(watching)
    if (feeds.some(feed => feed.length > 0)) this.#readAt = clock.monotonicMs()
    if (firing !== undefined && feeds.every(feed => feed.length === 0)) {
      const over = watching.watch.limitFiring({ time: clock.wallMs(), count: firing }, watching.keysTotal)
      if (over !== undefined) await this.#save(watching, [over])
    }
    // Keys that came since the last count are among those that open alerts now.
    const isOpening = feeds.some(feed => feed.some(({ kind }) => kind === 'opened'))
    if (isOpening && !isCountDue) await this.#countKeys(watching)
    while (feeds.some(feed => feed.length > 0)) {
      if (!(await this.#save(watching, nextEvents(watching, feeds, rules.current)))) return
    }
  }

  /** Ends a storm that has lasted too long, by the store's clock, which dates alerts too. */
  async #expire(watching: Watching): Promise<void> {
    if (!watching.watch.isStorm) return
    const { now } = await this.#options.alerts.dueNotifications(FLEET_PARTITION, 1)
    const over = watching.watch.expire(now, watching.keysTotal)
    if (over !== undefined) await this.#save(watching, [over])
  }

  async #load(lease: Lease): Promise<Watching> {
    const { alerts, rules, log } = this.#options
    const text = await alerts.loadStorm()
    const saved = text === null ? undefined : parseSavedWatch(text)
    if (text !== null && saved === undefined) {
      log.error('the saved storm state is unreadable; starting with an empty one')
    }
    return {
      lease,
      policy: rules.current.storm,
      watch: new StormWatch(rules.current.storm, saved?.state),
      positions: { ...saved?.positions },
      keysTotal: saved?.keysTotal ?? 0,
      countedAt: Number.NEGATIVE_INFINITY,
    }
  }

  /** Counts the keys and the firing alerts. */
  async #count(watching: Watching): Promise<number> {
    const { alerts, partitions, clock } = this.#options
    await this.#countKeys(watching)
    watching.countedAt = clock.monotonicMs()
    return sum((await alerts.count(numbersBelow(partitions))).map(({ firing }) => firing))
  }

  async #countKeys(watching: Watching): Promise<void> {
    const { alerts, partitions } = this.#options
    watching.keysTotal = sum(await alerts.keyCounts(numbersBelow(partitions)))
  }

  #readFeeds({ positions }: Watching): Promise<AlertFeedEntry[][]> {
    const { alerts, partitions } = this.#options
    const at = numbersBelow(partitions).map(partition => ({ partition, after: positions[partition] ?? ENTRY_ID_ZERO }))
    return alerts.feeds(at, FEED_MAX)
  }

  /** Returns false when the lease is not ours. */
  async #save(watching: Watching, events: readonly StormEvent[]): Promise<boolean> {
    const { alerts, metrics, log } = this.#options
    const { lease, watch, positions, keysTotal } = watching
    const saved: SavedWatch = { state: watch.toJSON(), positions, keysTotal }
    if (!(await alerts.saveStorm(lease, { state: JSON.stringify(saved), ...foundIn(events) }))) {
      this.#watching = undefined
      return false
    }
    if (events.length > 0) this.#onSaved()
    for (const { kind, keyCount } of events) {
      if (kind === 'storm_grows') continue
      if (kind === 'storm') metrics.storms.inc()
      log.warn({ keyCount, keysTotal }, kind === 'storm' ? 'an alert storm began' : 'the alert storm is over')
    }
    return true
  }
}

/** Consumes entries up to the end of a storm, or all; returns the events found in them. */
function nextEvents(
  { watch, positions, keysTotal }: Watching,
  feeds: AlertFeedEntry[][],
  rules: RuleSet,
): StormEvent[] {
  const events: StormEvent[] = []
  while (events.at(-1)?.kind !== 'storm_over') {
    const partition = earliest(feeds)
    const entry = feeds[partition]?.shift()
    if (entry === undefined) break
    positions[partition] = entry.id
    const isCounted = entry.cause === 'anomaly' && !isCritical(entry.key, rules)
    const event = isCounted ? feed(watch, entry, keysTotal) : undefined
    if (event !== undefined) events.push(event)
  }
  return events
}

/** Critical alerts are notified one by one, so they are no part of a storm. */
function isCritical(key: string, rules: RuleSet): boolean {
  return rules.policies[rules.resolve(key)]?.alert.severity === 'critical'
}

function feed(watch: StormWatch, entry: AlertFeedEntry, keysTotal: number): StormEvent | undefined {
  const { kind, key, openedAt, openedBefore, resolvedAt } = entry
  return kind === 'opened'
    ? watch.opened({ key, time: openedAt, openedBefore }, keysTotal)
    : watch.resolved({ time: resolvedAt, openedAt }, keysTotal)
}

/** Maps the events, which are of one storm at most, to its opening and its end. */
function foundIn(events: readonly StormEvent[]): Pick<SavedStorm, 'opening' | 'end'> {
  const opened = events.findLast(({ kind }) => kind !== 'storm_over')
  const over = events.findLast(({ kind }) => kind === 'storm_over')
  return {
    opening: opened === undefined ? null : stormOpening(opened),
    end: over === undefined ? null : { id: stormOpening(over).id, end: stormEnd(over) },
  }
}

/** Returns the partition whose next entry is the earliest; each feed keeps its own order. */
function earliest(feeds: readonly AlertFeedEntry[][]): number {
  const times = feeds.map(([next]) =>
    next?.kind === 'opened' ? next.openedAt : (next?.resolvedAt ?? Number.POSITIVE_INFINITY),
  )
  return times.indexOf(Math.min(...times))
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}

function numbersBelow(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number)
}
