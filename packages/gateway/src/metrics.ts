import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'
import type { FlushFailure } from './ingest/batcher.ts'
import { RULES } from './ingest/formats/batch.ts'

/** Label values are from closed sets: a client that made new ones could fill the memory of whoever scrapes. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Why a sample was not accepted: a rule of its content, or what kept us from storing it. */
export const REJECTION_REASONS = [...RULES, 'full', 'memory', 'queue', 'store', 'keys'] as const
export type RejectionReason = (typeof REJECTION_REASONS)[number]

const FLUSH_FAILURES: readonly FlushFailure[] = [
  'refused',
  'unknown',
  'fatal',
  'full',
  'limit-reached',
  'no-memory',
  'timeout',
]

export interface RequestObservation {
  /** A route's template, or `unmatched`. */
  readonly route: string
  readonly method: string
  readonly status: number
  readonly seconds: number
}

export interface GatewayMetrics {
  request(observation: RequestObservation): void
  /** An answer to what never became a request of a route. */
  refused(status: number): void
  /** A connection that was closed at once: there are too many. */
  connectionDropped(): void
  /** A connection that was closed because its client, and others, did not read their answers. */
  unreadCut(): void
  accepted(samples: number): void
  /** Samples that came again, and were stored the first time. */
  repeated(samples: number): void
  rejected(reason: RejectionReason, samples: number): void
  flushed(samples: number, seconds: number): void
  flushFailed(reason: FlushFailure): void
  /** An operator put a dead entry back, or discarded it. */
  deadSettled(how: 'put_back' | 'discarded'): void
  /** Where the number of samples that wait is to be found. */
  watchQueue(samples: () => number): void
}

export function createMetrics(registry: Registry): GatewayMetrics {
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Counter({
    name: 'gateway_http_requests_total',
    help: 'Requests answered.',
    labelNames: ['route', 'method', 'status'],
    registers,
  })
  const requestSeconds = new Histogram({
    name: 'gateway_http_request_seconds',
    help: 'From the request to its answer.',
    labelNames: ['route'],
    buckets: SECONDS,
    registers,
  })
  const connectionsDropped = new Counter({
    name: 'gateway_connections_dropped_total',
    help: 'Connections closed at once because there were too many (CONNECTIONS_MAX).',
    registers,
  })
  const unreadCuts = new Counter({
    name: 'gateway_connections_unread_total',
    help: 'Connections closed because too many bytes of answers were not read, theirs among them.',
    registers,
  })
  const acceptedTotal = new Counter({
    name: 'gateway_samples_accepted_total',
    help: 'Samples that the store has confirmed.',
    registers,
  })
  const ingestTotal = new Counter({
    name: 'metrics_ingest_total',
    help: 'Accepted samples, under the name that the replaced service used.',
    registers,
  })
  const rejectedTotal = new Counter({
    name: 'gateway_samples_rejected_total',
    help: 'Samples that were not accepted, by the rule they broke or by what kept us from storing them.',
    labelNames: ['reason'],
    registers,
  })
  const deadSettledTotal = new Counter({
    name: 'gateway_dead_entries_settled_total',
    help: 'Dead entries that an operator put back or discarded.',
    labelNames: ['how'],
    registers,
  })
  for (const how of ['put_back', 'discarded']) deadSettledTotal.inc({ how }, 0)
  const repeatedTotal = new Counter({
    name: 'gateway_samples_repeated_total',
    help: 'Samples of repeated requests (Idempotency-Key) that were stored before.',
    registers,
  })
  const flushSamples = new Histogram({
    name: 'gateway_flush_samples',
    help: 'Samples in one call to the store.',
    buckets: [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000],
    registers,
  })
  const flushSeconds = new Histogram({
    name: 'gateway_flush_seconds',
    help: 'How long the store took to answer a call.',
    buckets: SECONDS,
    registers,
  })
  const flushesFailed = new Counter({
    name: 'gateway_flushes_failed_total',
    help: 'Entries that were not stored, or not known to be.',
    labelNames: ['reason'],
    registers,
  })
  // A counter that is absent until its first event cannot be alerted on.
  for (const reason of REJECTION_REASONS) rejectedTotal.inc({ reason }, 0)
  for (const reason of FLUSH_FAILURES) flushesFailed.inc({ reason }, 0)

  /** Looking a child up by its labels builds a string from them each time: keep the children. */
  const requestChildren = new Map<string, Map<number, Counter.Internal>>()
  const secondsChildren = new Map<string, Histogram.Internal<'route'>>()

  function requestChild(route: string, method: string, status: number): Counter.Internal {
    const place = `${method} ${route}`
    let byStatus = requestChildren.get(place)
    if (byStatus === undefined) {
      byStatus = new Map()
      requestChildren.set(place, byStatus)
    }
    let child = byStatus.get(status)
    if (child === undefined) {
      child = requests.labels({ route, method, status: String(status) })
      byStatus.set(status, child)
    }
    return child
  }

  function secondsChild(route: string): Histogram.Internal<'route'> {
    let child = secondsChildren.get(route)
    if (child === undefined) {
      child = requestSeconds.labels({ route })
      secondsChildren.set(route, child)
    }
    return child
  }

  return {
    request({ route, method, status, seconds }) {
      requestChild(route, METHODS.has(method) ? method : 'other', status).inc()
      secondsChild(route).observe(seconds)
    },
    refused(status) {
      requestChild('unmatched', 'other', status).inc()
    },
    connectionDropped() {
      connectionsDropped.inc()
    },
    unreadCut() {
      unreadCuts.inc()
    },
    accepted(samples) {
      acceptedTotal.inc(samples)
      ingestTotal.inc(samples)
    },
    repeated(samples) {
      repeatedTotal.inc(samples)
    },
    rejected(reason, samples) {
      rejectedTotal.inc({ reason }, samples)
    },
    flushed(samples, seconds) {
      flushSamples.observe(samples)
      flushSeconds.observe(seconds)
    },
    deadSettled(how) {
      deadSettledTotal.inc({ how })
    },
    flushFailed(reason) {
      flushesFailed.inc({ reason })
    },
    watchQueue(samples) {
      new Gauge({
        name: 'gateway_queue_samples',
        help: "Samples that wait for the store's answer.",
        registers,
        collect() {
          this.set(samples())
        },
      })
    },
  }
}
