import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'

/** Label values come from closed sets: clients must not be able to create time series. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** The rule that a sample broke, or the limit or failure that kept it from the store. */
const REJECTION_REASONS = ['shape', 'key', 'value', 'timestamp', 'full', 'memory', 'queue', 'store', 'keys'] as const
export type RejectionReason = (typeof REJECTION_REASONS)[number]

/** Why an entry was not stored, or is not known to be stored. */
const FLUSH_FAILURES = ['refused', 'unknown', 'fatal', 'backlog-full', 'limit-reached', 'no-memory', 'timeout'] as const
export type FlushFailure = (typeof FLUSH_FAILURES)[number]

export interface RequestObservation {
  /** A route's template, or `unmatched`. */
  readonly route: string
  readonly method: string
  readonly status: number
  readonly seconds: number
}

interface RequestMetrics {
  request(observation: RequestObservation): void
  /** Counts a response to input that never became a request of a route. */
  refused(status: number): void
}

interface ConnectionMetrics {
  /** Counts a connection that was closed at once because the limit of connections was reached. */
  connectionDropped(): void
  /** Counts a connection that was closed because too many bytes of responses were unread. */
  unreadCut(): void
}

interface SampleMetrics {
  accepted(samples: number): void
  /** Counts samples of a retried request that were stored the first time. */
  repeated(samples: number): void
  rejected(reason: RejectionReason, samples: number): void
  /** Counts a dead letter that an operator redrove or discarded. */
  deadSettled(how: 'put_back' | 'discarded'): void
}

interface FlushMetrics {
  flushed(samples: number, seconds: number): void
  flushFailed(reason: FlushFailure): void
  /** Exports the number of samples that wait in the queue, which `samples` returns. */
  watchQueue(samples: () => number): void
}

export type GatewayMetrics = RequestMetrics & ConnectionMetrics & SampleMetrics & FlushMetrics

export function createMetrics(registry: Registry): GatewayMetrics {
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  return {
    ...createRequestMetrics(registers),
    ...createConnectionMetrics(registers),
    ...createSampleMetrics(registers),
    ...createFlushMetrics(registers),
  }
}

function createRequestMetrics(registers: Registry[]): RequestMetrics {
  const requests = new Counter({
    name: 'gateway_http_requests_total',
    help: 'HTTP responses sent.',
    labelNames: ['route', 'method', 'status'],
    registers,
  })
  const requestSeconds = new Histogram({
    name: 'gateway_http_request_seconds',
    help: 'Latency from the request to its response.',
    labelNames: ['route'],
    buckets: SECONDS,
    registers,
  })
  // prom-client builds a string from the labels at each lookup of a child, so the children are
  // kept.
  const requestChildren = new Map<string, Map<number, Counter.Internal>>()
  const secondsChildren = new Map<string, Histogram.Internal<'route'>>()

  function count(route: string, method: string, status: number): void {
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
    child.inc()
  }

  return {
    request({ route, method, status, seconds }) {
      count(route, METHODS.has(method) ? method : 'other', status)
      let child = secondsChildren.get(route)
      if (child === undefined) {
        child = requestSeconds.labels({ route })
        secondsChildren.set(route, child)
      }
      child.observe(seconds)
    },
    refused: status => count('unmatched', 'other', status),
  }
}

function createConnectionMetrics(registers: Registry[]): ConnectionMetrics {
  const dropped = new Counter({
    name: 'gateway_connections_dropped_total',
    help: 'Connections closed at once because the limit was reached (CONNECTIONS_MAX).',
    registers,
  })
  const unread = new Counter({
    name: 'gateway_connections_unread_total',
    help: 'Connections closed because clients had too many bytes of responses unread (BODIES_BYTES_MAX).',
    registers,
  })
  return { connectionDropped: () => dropped.inc(), unreadCut: () => unread.inc() }
}

function createSampleMetrics(registers: Registry[]): SampleMetrics {
  const accepted = new Counter({
    name: 'gateway_samples_accepted_total',
    help: 'Samples that the store has confirmed.',
    registers,
  })
  const ingested = new Counter({
    name: 'metrics_ingest_total',
    help: 'The same as gateway_samples_accepted_total, for existing dashboards.',
    registers,
  })
  const rejected = new Counter({
    name: 'gateway_samples_rejected_total',
    help: 'Samples that were not accepted, by the rule they broke or the reason they were not stored.',
    labelNames: ['reason'],
    registers,
  })
  const deadSettled = new Counter({
    name: 'gateway_dead_entries_settled_total',
    help: 'Dead letters that an operator redrove (put_back) or discarded.',
    labelNames: ['how'],
    registers,
  })
  const repeated = new Counter({
    name: 'gateway_samples_repeated_total',
    help: 'Samples of retried requests (Idempotency-Key) that were already stored.',
    registers,
  })
  // A counter that does not exist before its first event cannot be alerted on.
  for (const how of ['put_back', 'discarded']) deadSettled.inc({ how }, 0)
  for (const reason of REJECTION_REASONS) rejected.inc({ reason }, 0)
  return {
    accepted(samples) {
      accepted.inc(samples)
      ingested.inc(samples)
    },
    repeated: samples => repeated.inc(samples),
    rejected: (reason, samples) => rejected.inc({ reason }, samples),
    deadSettled: how => deadSettled.inc({ how }),
  }
}

function createFlushMetrics(registers: Registry[]): FlushMetrics {
  const flushSamples = new Histogram({
    name: 'gateway_flush_samples',
    help: 'Samples written by one flush.',
    buckets: [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000],
    registers,
  })
  const flushSeconds = new Histogram({
    name: 'gateway_flush_seconds',
    help: 'Latency of a flush to the store.',
    buckets: SECONDS,
    registers,
  })
  const failed = new Counter({
    name: 'gateway_flushes_failed_total',
    help: 'Entries that were not stored, or whose outcome is unknown.',
    labelNames: ['reason'],
    registers,
  })
  for (const reason of FLUSH_FAILURES) failed.inc({ reason }, 0)
  return {
    flushed(samples, seconds) {
      flushSamples.observe(samples)
      flushSeconds.observe(seconds)
    },
    flushFailed: reason => failed.inc({ reason }),
    watchQueue(samples) {
      new Gauge({
        name: 'gateway_queue_samples',
        help: 'Samples that wait for the store to confirm them.',
        registers,
        collect() {
          this.set(samples())
        },
      })
    },
  }
}
