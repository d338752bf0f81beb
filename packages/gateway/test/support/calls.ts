import type { Route } from './contract.ts'
import { FILED, type World } from './world.ts'

const DELETION = { who: 'mira', why: 'not needed' }

export interface Call {
  readonly status: number
  /** Replaces `{id}` or `{file}` in the path. */
  readonly id?: string | ((world: World) => string)
  readonly query?: Readonly<Record<string, string>> | ((world: World) => Record<string, string>)
  readonly headers?: Readonly<Record<string, string>>
  /** The documented example if absent. */
  readonly body?: string
}

const UNKNOWN_KEY = { status: 404, query: { key: 'unknown' } }
const INVALID_BODIES = [
  { status: 400, body: '{' },
  { status: 413, body: ' '.repeat(70_000) },
  { status: 415, headers: { 'Content-Type': 'image/png' } },
  { status: 422, body: '{}' },
]
const STALE = { status: 412, headers: { 'If-Match': '"0"' } }

const INFLUX_CALLS = [
  { status: 204 },
  { status: 204, query: { org: 'o', bucket: 'b', db: 'd', precision: 'ns' }, headers: { 'Idempotency-Key': '"a"' } },
  { status: 204, body: 'm s="x"' },
  { status: 400, body: '' },
  { status: 400, body: 'm v=1\nno line' },
  { status: 400, body: 'm v=NaN' },
  { status: 400, query: { precision: 'day' } },
  { status: 400, headers: { 'Content-Encoding': 'gzip' } },
  { status: 413, body: 'm v=1\n'.repeat(10_001) },
  { status: 415, headers: { 'Content-Encoding': 'snappy' } },
]

/** A WriteRequest of one sample of the series `m`, as one literal of snappy. */
const WRITE_REQUEST = '\x13H\n\x11\n\r\n\b__name__\x12\x01m\x12\x00'
const PROTOBUF = { 'Content-Type': 'application/x-protobuf' }

/** Calls of every operation: those that succeed, and each kind of request that fails by itself. */
export const CALLS: Readonly<Record<string, readonly Call[]>> = {
  ingest: [
    { status: 202 },
    { status: 202, headers: { 'Idempotency-Key': '"a"' } },
    { status: 400, body: '' },
    { status: 400, body: '[{}]' },
    { status: 400, headers: { 'Idempotency-Key': '' } },
    { status: 413, body: JSON.stringify(Array(10_001).fill({ key: 'a', value: 1 })) },
    { status: 415, headers: { 'Content-Encoding': 'snappy' } },
    { status: 400, headers: { 'Content-Encoding': 'gzip' } },
  ],
  influxWriteV1: INFLUX_CALLS,
  influxWriteV2: INFLUX_CALLS,
  influxQuery: [
    { status: 200, body: 'q=CREATE+DATABASE+%22telegraf%22' },
    { status: 200, query: { q: 'create database x', db: 'd' } },
    { status: 400, body: 'q=SHOW+DATABASES' },
    { status: 400, body: '' },
    { status: 413, body: `q=${'x'.repeat(20_000)}` },
    { status: 415, headers: { 'Content-Encoding': 'snappy' }, body: 'q=x' },
  ],
  otlpMetrics: [
    { status: 200 },
    { status: 200, body: '{}', headers: { 'Idempotency-Key': '"a"' } },
    { status: 200, body: '', headers: PROTOBUF },
    { status: 400, body: '' },
    { status: 400, body: '[' },
    { status: 400, body: '{"resourceMetrics":1}' },
    { status: 400, body: 'x', headers: PROTOBUF },
    { status: 413, body: ' '.repeat(1_100_000) },
    { status: 415, headers: { 'Content-Encoding': 'snappy' } },
    { status: 415, headers: { 'Content-Type': 'text/plain' } },
  ],
  prometheusWrite: [
    { status: 204, body: WRITE_REQUEST, headers: PROTOBUF },
    { status: 204, body: '\0', headers: { ...PROTOBUF, 'Idempotency-Key': '"a"' } },
    { status: 400, body: '', headers: PROTOBUF },
    { status: 400, body: 'x', headers: PROTOBUF },
    { status: 413, body: 'x'.repeat(1_100_000), headers: PROTOBUF },
    { status: 415, body: WRITE_REQUEST, headers: { ...PROTOBUF, 'Content-Encoding': 'x' } },
    {
      status: 415,
      body: WRITE_REQUEST,
      headers: { 'Content-Type': 'application/x-protobuf;proto=io.prometheus.write.v2.Request' },
    },
  ],
  influxPing: [{ status: 204 }, { status: 200, query: { verbose: 'true' } }],
  influxPingByPost: [{ status: 204 }],
  analyze: [
    { status: 200 },
    { status: 200, query: { state: 'ok', prefix: 'edge', limit: '1' } },
    { status: 200, query: ({ key }) => ({ key }) },
    { status: 200, query: ({ key, receipt }) => ({ key, after: receipt }) },
    { status: 200, query: ({ receipt }) => ({ after: receipt }) },
    { status: 400, query: { limit: '0' } },
    UNKNOWN_KEY,
    { status: 503, query: ({ pending }) => ({ after: pending, wait: '1' }) },
  ],
  aggregates: [{ status: 200, query: ({ key }) => ({ key, step: '1h' }) }, { status: 400 }, UNKNOWN_KEY],
  history: [{ status: 200, query: ({ key }) => ({ key }) }, { status: 400 }, UNKNOWN_KEY],
  events: [
    { status: 200 },
    { status: 200, query: ({ key }) => ({ key, kind: 'analysis,anomaly', state: 'anomalous,firing' }) },
    { status: 400, query: { kind: 'x' } },
    { status: 400, query: { last_event_id: 'x' } },
  ],
  console: [{ status: 200 }],
  consoleFile: [
    { status: 200, id: 'start.js' },
    { status: 404, id: 'none.js' },
  ],
  anomalies: [
    { status: 200 },
    { status: 200, query: ({ key }) => ({ key, from: '1', to: '2100-01-01', limit: '1' }) },
    { status: 400, query: { to: 'x' } },
  ],
  overview: [{ status: 200 }, { status: 400, query: { a: '1' } }],
  keys: [
    { status: 200, query: { values: '10', sort: 'z', state: 'ok', search: 'EDGE' } },
    { status: 200, query: { limit: '1', offset: '1' } },
    { status: 400, query: { cursor: 'x' } },
  ],
  deleteKey: [
    { status: 200, id: ({ key }) => key, query: { dry_run: 'true' } },
    { status: 202, id: ({ key }) => key },
    { status: 404, id: 'unknown' },
    { status: 400, id: 'unknown', query: { dry_run: 'x' } },
  ],
  deleteKeys: [
    { status: 200, query: { prefix: 'edge', dry_run: 'true' } },
    { status: 202, query: { prefix: 'edge' } },
    { status: 400 },
  ],
  keyCardinality: [{ status: 200 }, { status: 400, query: { depth: '0' } }],
  rebalances: [{ status: 200 }, { status: 200, query: { limit: '1' } }, { status: 400, query: { limit: '0' } }],
  rules: [{ status: 200 }, { status: 400, query: { id: 'a' } }],
  rule: [
    { status: 200, id: 'edge-cpu' },
    { status: 404, id: 'unknown' },
  ],
  putRule: [
    { status: 201, id: 'new' },
    { status: 200, id: 'edge-cpu' },
    { ...STALE, id: 'edge-cpu' },
    { status: 400, id: 'new', headers: { 'If-Match': 'x' } },
    ...INVALID_BODIES.map(call => ({ ...call, id: 'new' })),
  ],
  deleteRule: [
    { status: 200, id: 'edge-cpu', query: DELETION },
    { status: 400, id: 'edge-cpu' },
    { status: 404, id: 'unknown', query: DELETION },
    { ...STALE, id: 'edge-cpu', query: DELETION },
  ],
  explainRules: [{ status: 200, query: ({ key }) => ({ key }) }, { status: 400 }],
  ruleChanges: [
    { status: 200, query: { limit: '1' } },
    { status: 400, query: { cursor: 'x' } },
  ],
  ruleReport: [
    { status: 200, id: 'edge-cpu' },
    { status: 200, id: 'tried' },
    { status: 404, id: 'unknown' },
  ],
  previewRule: [
    { status: 200 },
    { status: 200, body: '{"rule":{"pattern":"edge-*"},"key":"edge-17/rps"}' },
    { status: 422, body: '{"rule":{"pattern":"edge-*","window":5},"samples_max":-1}' },
    ...INVALID_BODIES,
  ],
  putMute: [
    { status: 201, id: 'new' },
    { status: 200, id: 'night-shift' },
    { ...STALE, id: 'new' },
    ...INVALID_BODIES.map(call => ({ ...call, id: 'new' })),
  ],
  deleteMute: [
    { status: 200, id: 'night-shift', query: DELETION },
    { status: 404, id: 'unknown', query: DELETION },
  ],
  putStorm: [{ status: 200 }, STALE, ...INVALID_BODIES],
  alertGroups: [{ status: 200 }, { status: 200, query: { members: '0' } }, { status: 400, query: { limit: '0' } }],
  alerts: [{ status: 200 }, { status: 200, query: { state: 'resolved' } }, { status: 400, query: { limit: '0' } }],
  alert: [
    { status: 200, id: ({ alert }) => alert },
    { status: 404, id: 'unknown' },
  ],
  acknowledgeAlert: [
    { status: 200, id: ({ alert }) => alert },
    { status: 404, id: 'unknown' },
    ...INVALID_BODIES.map(call => ({ ...call, id: ({ alert }: World) => alert })),
  ],
  snoozeAlert: [
    { status: 200, id: ({ alert }) => alert },
    { status: 404, id: 'unknown' },
    ...INVALID_BODIES.map(call => ({ ...call, id: ({ alert }: World) => alert })),
  ],
  endSnooze: [
    { status: 200, id: ({ alert }) => alert, query: DELETION },
    { status: 400, id: ({ alert }) => alert },
    { status: 404, id: 'unknown', query: DELETION },
  ],
  putFeedback: [
    { status: 200, id: ({ alert }) => alert },
    { status: 404, id: 'unknown' },
    ...INVALID_BODIES.map(call => ({ ...call, id: ({ alert }: World) => alert })),
  ],
  deleteFeedback: [
    { status: 200, id: ({ alert }) => alert },
    { status: 400, id: ({ alert }) => alert, query: { a: 'b' } },
    { status: 404, id: 'unknown' },
  ],
  feedback: [
    { status: 200 },
    { status: 200, query: { by: 'prefix', depth: '2', prefix: 'edge', limit: '1' } },
    { status: 400, query: { by: 'device' } },
  ],
  dead: [{ status: 200 }, { status: 200, query: { limit: '1' } }, { status: 400, query: { cursor: 'x' } }],
  putBackDead: [
    { status: 202, id: ({ dead }) => dead },
    { status: 415, id: ({ dead }) => dead, headers: { 'Content-Type': 'text/plain' }, body: '{}' },
    { status: 404, id: 'unknown' },
    { status: 409, id: ({ unreadable }) => unreadable },
  ],
  discardDeadLetter: [
    { status: 200, id: ({ dead }) => dead },
    { status: 404, id: 'unknown' },
  ],
  deadNotifications: [{ status: 200 }, { status: 200, query: { limit: '1' } }, { status: 400, query: { limit: 'x' } }],
  putBackDeadNotification: [
    { status: 202, id: ({ letter }) => letter },
    { status: 404, id: 'unknown' },
    { status: 409, id: ({ letterOfNone }) => letterOfNone },
  ],
  discardDeadNotification: [
    { status: 200, id: ({ letter }) => letter },
    { status: 404, id: 'unknown' },
  ],
  createApiKey: [{ status: 201 }, ...INVALID_BODIES],
  apiKeys: [{ status: 200 }, { status: 400, query: { id: 'a' } }],
  apiKey: [
    { status: 200, id: ({ apiKey }) => apiKey },
    { status: 200, id: ({ filed }) => filed },
    { status: 404, id: 'unknown' },
  ],
  changeApiKey: [
    { status: 200, id: ({ apiKey }) => apiKey },
    { status: 404, id: 'unknown' },
    { status: 409, id: ({ filed }) => filed },
    ...INVALID_BODIES.map(call => ({ ...call, id: ({ apiKey }: World) => apiKey })),
  ],
  revokeApiKey: [
    { status: 200, id: ({ apiKey }) => apiKey },
    { status: 404, id: 'unknown' },
    { status: 409, id: ({ filed }) => filed },
  ],
  audit: [
    { status: 200 },
    { status: 200, query: { who: 'mira', action: 'putRule', since: '2026-01-31T18:00:00Z', limit: '1' } },
    { status: 400, query: { since: 'yesterday' } },
  ],
  login: [
    { status: 200, body: JSON.stringify({ api_key: FILED.token }) },
    { status: 200, body: JSON.stringify({ token: FILED.token }) },
    { status: 401 },
    { status: 403, headers: { Origin: 'https://evil.example' } },
    ...INVALID_BODIES,
  ],
  logout: [{ status: 200 }, { status: 403, headers: { Origin: 'https://evil.example' } }],
  session: [{ status: 200 }, { status: 400, query: { a: 'b' } }],
  health: [{ status: 200 }, { status: 200, headers: { 'User-Agent': 'influxdb-client-js/1.35.0' } }],
  livez: [{ status: 200 }],
  readyz: [{ status: 200 }],
  metrics: [{ status: 200 }, { status: 200, headers: { Accept: 'application/openmetrics-text; version=1.0.0' } }],
  openapi: [{ status: 200 }],
  docs: [{ status: 200 }],
  docsFile: [
    { status: 200, id: 'start.js' },
    { status: 200, id: 'swagger-ui.css' },
    { status: 404, id: 'unknown' },
  ],
}

export interface Sent {
  readonly type: string
  readonly body: string | null
}

/** The bodies to send: that of the call, else each documented example, else none. */
export function bodiesOf({ operation }: Route, { body }: Call): Sent[] {
  if (body !== undefined) return [{ type: 'application/json', body }]
  const { content = {} } = operation.requestBody ?? {}
  const examples = Object.entries(content).flatMap(([type, { examples = {} }]) =>
    Object.values(examples).map(({ value }) => ({
      type,
      body: typeof value === 'string' ? value : JSON.stringify(value),
    })),
  )
  return examples.length === 0 ? [{ type: 'application/json', body: null }] : examples
}

export function requestOf(world: World, { method, path }: Route, call: Call, { type, body }: Sent): Request {
  const id = typeof call.id === 'function' ? call.id(world) : (call.id ?? '')
  const query = typeof call.query === 'function' ? call.query(world) : (call.query ?? {})
  const url = new URL(path.replace(/\{\w+\}/, encodeURIComponent(id)), 'http://gateway')
  url.search = new URLSearchParams(query).toString()
  return new Request(url, { method, headers: { 'Content-Type': type, ...call.headers }, body })
}
