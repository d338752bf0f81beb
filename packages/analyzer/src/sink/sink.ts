import { backoffMs } from '@tidemark/shared/runtime/clock'
import { measureWhenRead } from '@tidemark/shared/runtime/metric-tables'
import { ENTRY_ID_ZERO, type EntryId, entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { PointEntry, PointStore } from '@tidemark/shared/store/ports/points'
import type { Analysis } from '@tidemark/shared/verdict/analysis'
import type { Context } from '../context.ts'
import type { Post } from '../notify/post.ts'
import type { Delivery } from '../notify/receiver.ts'
import { type AttemptOptions, attempt, repeat } from '../repeat.ts'
import type { SinkHeaders } from './headers.ts'
import type { KeyLabelOptions } from './key-labels.ts'
import type { SinkMetrics } from './metrics.ts'
import { type Point, scoreOf, toPoint } from './point.ts'
import { encodePoints, WRITE_HEADERS } from './write-request.ts'

/** How often the owned partitions are checked for points of intervals that are over. */
const VISIT_MS = 1000

/** Commits read at once. */
const PAGE = 20

/** Five series each: as many samples as Prometheus sends in one request. */
const POINTS_PER_REQUEST = 400

/** Requests for the parts of one that was refused. What is refused beyond them is refused whole. */
const SPLITS_MAX = 100

const BACKOFF = { minMs: 1000, maxMs: 60_000 }

/** Statuses that say that something in the body is wrong, or that there is too much of it. */
const ABOUT_CONTENT = new Set([400, 413, 422])

/** Keys in one log line. */
const LOGGED_MAX = 5

export interface SinkOptions extends Omit<Context, 'metrics'> {
  readonly metrics: SinkMetrics & AttemptOptions['metrics']
  readonly points: PointStore
  readonly leases: () => readonly Lease[]
  readonly url: string
  readonly post: Post
  readonly headers: SinkHeaders
  readonly labels: KeyLabelOptions
  readonly intervalMs: number
  /** How long points are kept for a sink that does not take them. */
  readonly retryMaxMs: number
}

/** What all commits of one interval have left: one analysis for each key. */
interface Interval {
  readonly number: number
  upTo: EntryId
  readonly analyses: Map<string, Analysis>
}

/** Writes points of the owned partitions until it is disposed of. */
export function startSink(options: SinkOptions): AsyncDisposable {
  const sink = new Sink(options)
  const { lagSeconds } = options.metrics
  measureWhenRead([lagSeconds], options.clock, async () => lagSeconds.set(sink.lagMs() / 1000))
  const visits = repeat(() => sink.visit(), options.clock, VISIT_MS)
  options.log.info({ sink: new URL(options.url).origin }, 'writing verdicts to the sink')
  return {
    [Symbol.asyncDispose]() {
      sink.stop()
      return visits[Symbol.asyncDispose]()
    },
  }
}

/**
 * Writes the points of one partition after the other, the oldest interval first, and removes them
 * from the store when they are written: at least once. An interval is read when it is over, so that
 * a repetition has the same points, with the same timestamps and values: receivers accept that.
 */
class Sink {
  readonly #options: SinkOptions
  /** When the oldest unwritten point of a partition became due, by the monotonic clock. */
  readonly #dueAtMs = new Map<number, number>()
  #failures = 0
  /** By the monotonic clock. */
  #notBefore = 0
  #isStopped = false

  constructor(options: SinkOptions) {
    this.#options = options
  }

  stop(): void {
    this.#isStopped = true
  }

  /** Returns how long the oldest point that is due has waited. It grows also during a request. */
  lagMs(): number {
    return Math.max(0, this.#options.clock.monotonicMs() - Math.min(...this.#dueAtMs.values()))
  }

  async visit(): Promise<void> {
    const { leases } = this.#options
    const owned = leases()
    const partitions = new Set(owned.map(({ partition }) => partition))
    for (const partition of this.#dueAtMs.keys()) if (!partitions.has(partition)) this.#dueAtMs.delete(partition)
    for (const { partition } of owned) {
      if (this.#isStopped) return
      await attempt('writing to the sink', () => this.#drain(partition), this.#options, { partition })
    }
  }

  async #drain(partition: number): Promise<void> {
    const { points, intervalMs, retryMaxMs, clock } = this.#options
    let open: Interval | undefined
    for (let after = ENTRY_ID_ZERO; ; ) {
      const { now, entries } = await points.read(partition, { intervalMs, after, count: PAGE })
      const dueAt = (id: EntryId): number => (intervalOf(id, intervalMs) + 1) * intervalMs
      const old = entries.filter(({ id }) => now - dueAt(id) > retryMaxMs)
      await this.#drop(partition, old)
      const current = entries.slice(old.length)
      const oldest = open?.upTo ?? current[0]?.id
      if (oldest !== undefined) this.#dueAtMs.set(partition, clock.monotonicMs() - (now - dueAt(oldest)))
      const isPaused = clock.monotonicMs() < this.#notBefore
      if (isPaused && current.length > 0) return
      for (const entry of current) {
        const number = intervalOf(entry.id, intervalMs)
        if (open !== undefined && open.number !== number) {
          if (!(await this.#write(partition, open))) return
          open = undefined
        }
        open ??= { number, upTo: entry.id, analyses: new Map() }
        open.upTo = entry.id
        addTo(open, this.#analysesOf(entry))
      }
      after = entries.at(-1)?.id ?? after
      if (entries.length < PAGE) break
    }
    if (open !== undefined && !(await this.#write(partition, open))) return
    this.#dueAtMs.delete(partition)
  }

  async #drop(partition: number, entries: readonly PointEntry[]): Promise<void> {
    const last = entries.at(-1)
    if (last === undefined) return
    const { points, metrics, log } = this.#options
    const count = entries.reduce((sum, entry) => sum + entry.count, 0)
    await points.remove(partition, last.id)
    metrics.points.inc({ result: 'dropped' }, count)
    log.error({ partition, points: count }, 'points were dropped: the sink did not take them within SINK_RETRY_MAX_MS')
  }

  #analysesOf({ analyses, count }: PointEntry): readonly Analysis[] {
    try {
      return JSON.parse(analyses)
    } catch (error) {
      this.#options.metrics.points.inc({ result: 'refused' }, count)
      this.#options.logFailure(error, 'points for the sink are unreadable')
      return []
    }
  }

  /** Writes an interval. False if the sink failed: the whole interval is written again later. */
  async #write(partition: number, { analyses, upTo }: Interval): Promise<boolean> {
    const points = [...analyses.values()].flatMap(analysis => toPoint(analysis) ?? [])
    for (let at = 0; at < points.length; at += POINTS_PER_REQUEST) {
      if (this.#isStopped) return false
      const part = points.slice(at, at + POINTS_PER_REQUEST)
      if (!(await this.#send(part, { splits: SPLITS_MAX }))) return false
    }
    await this.#options.points.remove(partition, upTo)
    return true
  }

  /**
   * Sends points in one request. Of one that is refused for its content it sends either half, down
   * to the points that are refused: a receiver may refuse all of a request for one of them. False
   * if the sink failed.
   */
  async #send(points: readonly Point[], budget: { splits: number }): Promise<boolean> {
    const { metrics } = this.#options
    const delivery = await this.#post(points)
    if (delivery.kind === 'delivered') {
      this.#failures = 0
      metrics.points.inc({ result: 'sent' }, points.length)
      return true
    }
    if (isRetried(delivery)) {
      this.#pause(delivery)
      return false
    }
    if (points.length > 1 && ABOUT_CONTENT.has(delivery.status ?? 0) && budget.splits > 0) {
      budget.splits -= 2
      const middle = points.length >> 1
      return (await this.#send(points.slice(0, middle), budget)) && (await this.#send(points.slice(middle), budget))
    }
    metrics.points.inc({ result: 'refused' }, points.length)
    const fields = { points: points.length, keys: points.slice(0, LOGGED_MAX).map(({ key }) => key) }
    this.#log(delivery, 'the sink refused points; they are not sent again', fields)
    return true
  }

  async #post(points: readonly Point[]): Promise<Delivery> {
    const { url, post, headers, labels, clock, metrics, logFailure } = this.#options
    const own = await headers.current(error => logFailure(error, 'the headers of the sink are those from before'))
    const begin = clock.monotonicMs()
    const delivery = await post(url, { ...own, ...WRITE_HEADERS }, encodePoints(points, labels))
    metrics.seconds.observe((clock.monotonicMs() - begin) / 1000)
    metrics.requests.inc({ result: resultOf(delivery) })
    return delivery
  }

  #pause(delivery: Exclude<Delivery, { kind: 'delivered' }>): void {
    const { clock } = this.#options
    this.#failures++
    const wait = 'retryAfterMs' in delivery ? delivery.retryAfterMs : 0
    this.#notBefore = clock.monotonicMs() + Math.max(wait, backoffMs(this.#failures, BACKOFF, clock.random))
    this.#log(delivery, 'writing to the sink failed; retrying', { failures: this.#failures })
  }

  #log({ reason, body }: Exclude<Delivery, { kind: 'delivered' }>, message: string, fields: object): void {
    const { url, logFailure } = this.#options
    logFailure(new Error(reason), message, { ...fields, sink: new URL(url).origin, response: body })
  }
}

function intervalOf(id: EntryId, intervalMs: number): number {
  return Math.floor(entryTimeMs(id) / intervalMs)
}

/** Keeps the most anomalous analysis of each key; of equals, the first. Late ones have no point. */
function addTo({ analyses }: Interval, added: readonly Analysis[]): void {
  for (const analysis of added) {
    if (analysis.late) continue
    const known = analyses.get(analysis.key)
    if (known === undefined || (scoreOf(analysis) ?? 0) > (scoreOf(known) ?? 0)) analyses.set(analysis.key, analysis)
  }
}

/** By the specification of remote write, a status 4xx is final unless it is 429. */
function isRetried({ status }: Exclude<Delivery, { kind: 'delivered' }>): boolean {
  return status === undefined || status < 400 || status === 429 || status >= 500
}

function resultOf(delivery: Delivery): 'ok' | 'refused' | 'failed' {
  if (delivery.kind === 'delivered') return 'ok'
  return isRetried(delivery) ? 'failed' : 'refused'
}
