import type { AuditIntent, AuditResult } from '@tidemark/shared/access/audit-record'
import type { Logger } from 'pino'
import type { RouteAccess } from '../access/route-access.ts'
import type { Failures } from '../failures.ts'
import type { Concern, Exchange } from '../http/pipeline.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { Services } from '../services.ts'

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Lengths in characters, beyond which a text is cut: a record has at most 5 KiB. */
const SUBJECT_LENGTH_MAX = 500
const SUMMARY_LENGTH_MAX = 1000

/** An API key as it is issued. Wherever a client puts one, its secret part is not recorded. */
const API_KEY = /\btmk_([A-Za-z0-9]{1,64})_[A-Za-z0-9_-]+/g

/** Lines a second about requests that were refused before they reached their route. */
const REFUSALS_PER_S = 10

interface AuditOptions {
  readonly log: Logger
  readonly metrics: Pick<GatewayMetrics, 'auditFailed'>
  readonly failures: Failures
  readonly access: RouteAccess
  /** Throws a RequestFault while the store is not open. */
  readonly services: () => Pick<Services, 'store'>
}

/**
 * The audit log: every request that may change something, unless it only ingests samples, leaves
 * a record in the store and a log line.
 *
 * The record is begun before the route runs. A change that cannot be recorded is not made; its data
 * is in the same store, so that costs no availability. After the route the record gets its result.
 * A gateway that stops in between leaves a record without one: the change may have been made.
 *
 * What is refused before it reaches its route (by authentication, scopes or limits) and sign-ins
 * leave a line only: a caller without rights could otherwise push all other records out of the log.
 */
export function auditConcern({ log, metrics, failures, access, services }: AuditOptions): Concern {
  const lines = auditLines(log)
  const mayLog = budget(REFUSALS_PER_S)

  async function recorded(exchange: Exchange, run: () => Promise<number>): Promise<void> {
    const { store } = services()
    const id = await store.audit.begin(intentOf(exchange, access))
    const status = await run()
    // The change is made: its response does not change any more.
    await store.audit.end(id, resultOf(exchange, status)).catch((error: unknown) => {
      metrics.auditFailed()
      failures(error, 'the result of a change is missing in the audit log', { record: id })
    })
  }

  return {
    name: 'audit',
    around(exchange, run) {
      return isRecorded(exchange, access) ? recorded(exchange, run) : run()
    },
    end(exchange) {
      const { method, route, status, principal } = exchange
      if (SAFE_METHODS.has(method) || access.operationOf(method, route) === undefined) return
      const { access: required, isProbe } = access.of(method, route)
      if (required === 'ingest' || required === 'read' || isProbe === true) return
      const isRefused = status === 401 || status === 403 || status === 429
      if (isRefused && principal.id === 'anonymous' && !mayLog()) return
      const { who, keyId, ...intent } = intentOf(exchange, access)
      const { status: _, ...result } = resultOf(exchange, status)
      lines.info({ who, key_id: keyId, ...intent, ...result, status, result: outcomeOf(status) }, 'change')
    },
  }
}

/** What became of a change whose response has this status. */
export function outcomeOf(status: number | undefined): 'done' | 'refused' | 'unknown' {
  if (status === undefined || status >= 500) return 'unknown'
  return status < 400 ? 'done' : 'refused'
}

/** Audit lines are written at every LOG_LEVEL but `silent`. */
function auditLines(log: Logger): Logger {
  return log.child({ audit: true }, log.level === 'silent' ? {} : { level: 'info' })
}

function isRecorded({ method, route }: Exchange, access: RouteAccess): boolean {
  if (SAFE_METHODS.has(method) || access.operationOf(method, route) === undefined) return false
  const required = access.of(method, route).access
  // What only needs `read` changes nothing, whatever its method.
  return required === 'operate' || required === 'admin'
}

function intentOf({ principal, address, method, route, path, query }: Exchange, access: RouteAccess): AuditIntent {
  return {
    who: principal.name,
    keyId: principal.id,
    via: principal.via,
    address,
    method,
    route,
    action: access.operationOf(method, route) ?? '',
    subject: cut(subjectOf(route, path, query), SUBJECT_LENGTH_MAX) ?? null,
  }
}

function resultOf({ change = {} }: Exchange, status: number): AuditResult {
  const { subject, before, after } = change
  const parts = {
    subject: cut(subject, SUBJECT_LENGTH_MAX),
    before: cut(written(before), SUMMARY_LENGTH_MAX),
    after: cut(written(after), SUMMARY_LENGTH_MAX),
  }
  return { status, ...Object.fromEntries(Object.entries(parts).filter(([, text]) => text !== undefined)) }
}

/** The parameter in the path, else the key or the prefix that the query names. */
function subjectOf(route: string, path: string, query: string): string | undefined {
  const [head = '', tail = ''] = route.split(/:\w+(?:\{[^}]*\})?/)
  if (head !== route) return decoded(path.slice(head.length, path.length - tail.length))
  const parameters = new URLSearchParams(query)
  return parameters.get('key') ?? parameters.get('prefix') ?? undefined
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function written(value: unknown): string | undefined {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function cut(text: string | undefined, lengthMax: number): string | undefined {
  const clean = text?.replaceAll(API_KEY, 'tmk_$1_[redacted]')
  return clean === undefined || clean.length <= lengthMax ? clean : `${clean.slice(0, lengthMax).toWellFormed()}…`
}

/** Returns a function that is true at most `perS` times a second. */
function budget(perS: number): () => boolean {
  let second = 0
  let used = 0
  return () => {
    const now = Math.floor(performance.now() / 1000)
    if (now !== second) used = 0
    second = now
    return used++ < perS
  }
}
