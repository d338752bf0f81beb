import { connectionError, responseError, TidemarkError } from './error.ts'
import { type FeedEvent, type FeedOptions, readFeed } from './feed.ts'
import { type Retry, retryFor, withRetries } from './retry.ts'
import { Sender, type SenderOptions } from './sender.ts'
import type {
  Aggregates,
  AggregatesQuery,
  Alert,
  AlertGroupsPage,
  AlertKind,
  AlertsPage,
  AnalysesPage,
  Analysis,
  AnomaliesPage,
  Caller,
  DeadLettersPage,
  History,
  IngestResult,
  Item,
  KeyRow,
  KeyState,
  KeysPage,
  Overview,
  Rebalances,
  Rule,
  RuleChangesPage,
  RuleExplanation,
  RulePreview,
  Rules,
  Severity,
  WrittenRule,
} from './types.ts'

/** Longer than the gateway's own timeouts, so that the gateway reports the reason. */
const TIMEOUT_MS = 30_000

const RETRY_FOR_MS = 60_000

/** How long one request waits for a verdict before the next one does. */
const VERDICT_WAIT_MS = 5000

/** Methods without effects: a retry cannot do something twice. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD'])

export interface ClientOptions {
  /** Where the gateway is; in a browser, by default where the page came from. */
  readonly url?: string
  /** Browsers that have a session need none. A function is called for each request. */
  readonly apiKey?: string | (() => string | undefined)
  /** How long failed requests are retried, if that cannot do anything twice. 0: not at all. */
  readonly retryForMs?: number
  /** How long one attempt may take. */
  readonly timeoutMs?: number
  /** Replaces the global fetch. */
  readonly fetch?: typeof fetch
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  readonly query?: Query
  /** Sent as JSON unless it is a string. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly retryForMs?: number
  /** Decides instead of `retryForMs`, also on failures that are not temporary. */
  readonly retry?: Retry
}

/** A gateway, as devices, operators and the console use it. Failures are TidemarkErrors. */
export class Client {
  readonly #url: string
  readonly #apiKey: () => string | undefined
  readonly #retryForMs: number
  readonly #timeoutMs: number
  readonly #fetch: typeof fetch

  constructor({ url = '', apiKey, retryForMs = RETRY_FOR_MS, timeoutMs = TIMEOUT_MS, ...options }: ClientOptions = {}) {
    this.#url = url.replace(/\/+$/, '')
    this.#apiKey = typeof apiKey === 'function' ? apiKey : () => apiKey
    this.#retryForMs = retryForMs
    this.#timeoutMs = timeoutMs
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init))
  }

  /** Sends one request with the client's credentials, whatever becomes of it. */
  request(method: string, path: string, { query, body, headers, signal }: CallOptions = {}): Promise<Response> {
    const content = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
    const type = body === undefined ? {} : { 'Content-Type': 'application/json' }
    const apiKey = this.#apiKey()
    const credentials = apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` }
    const target = `${this.#url}${path}${queryText(query)}`
    return this.#fetch(target, {
      method,
      headers: { ...type, ...credentials, ...headers },
      ...content,
      ...(signal === undefined ? {} : { signal }),
    })
  }

  /** Sends a request and returns its JSON. Retries temporary failures if that is safe. */
  call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    return this.#call<T>(method, path, options)
  }

  #call<T>(method: string, path: string, options: CallOptions, isExpected?: (result: T) => boolean): Promise<T> {
    const isSafe = SAFE_METHODS.has(method) || Object.keys(options.headers ?? {}).includes(IDEMPOTENCY_KEY)
    // 429 and 503 say that nothing was done.
    const isRetried = (error: TidemarkError): boolean =>
      error.isTemporary && (isSafe || error.status === 429 || error.status === 503)
    const retry = options.retry ?? retryFor(options.retryForMs ?? this.#retryForMs, isRetried)
    return withRetries(() => this.#attempt(method, path, options, isExpected), retry, options.signal)
  }

  async #attempt<T>(
    method: string,
    path: string,
    options: CallOptions,
    isExpected: (result: T) => boolean = () => true,
  ): Promise<T> {
    const what = `${method} ${path}`
    const limit = AbortSignal.timeout(this.#timeoutMs)
    const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit])
    let response: Response
    let text: string
    try {
      response = await this.request(method, path, { ...options, signal })
      text = response.ok ? await response.text() : ''
    } catch (error) {
      options.signal?.throwIfAborted()
      throw connectionError(what, error)
    }
    if (!response.ok) throw await responseError(what, response)
    let result: T
    try {
      result = JSON.parse(text) as T
    } catch (error) {
      throw new TidemarkError(`${what}: the response is not JSON`, { status: response.status, cause: error })
    }
    if (isExpected(result)) return result
    const reason = `the response with ${response.status} is not a gateway's: is the URL right?`
    throw new TidemarkError(`${what}: ${reason}`, { status: response.status })
  }

  /**
   * Stores items. Retries carry one Idempotency-Key, so nothing is stored twice even if a response
   * is lost. Resolves when every valid item is stored; `rejected` lists the invalid ones.
   */
  ingest(
    items: Item | readonly Item[],
    { idempotencyKey = randomKey(), ...options }: IngestOptions = {},
  ): Promise<IngestResult> {
    const key = idempotencyKey === null ? {} : { [IDEMPOTENCY_KEY]: `"${idempotencyKey}"` }
    const headers = { ...options.headers, ...key }
    return this.#call<IngestResult>('POST', '/ingest', { ...options, body: items, headers }, isIngestResult)
  }

  /** Creates a sender that gathers samples and sends them in batches, in order. */
  sender(options: SenderOptions): Sender {
    const { request } = options
    return new Sender((samples, signal) => this.ingest(samples, { ...request, signal }), options)
  }

  /** Returns the newest analysis of a key; with a receipt, that of this sample. */
  analyze(key: string, { after, ...options }: VerdictOptions & { readonly after?: string } = {}): Promise<Analysis> {
    if (after === undefined) return this.call('GET', '/analyze', { ...options, query: { key } })
    return this.#verdict({ key, after }, options)
  }

  /** Returns the verdicts on all samples of a receipt's entry, other clients' samples included. */
  async verdicts(receipt: string, options: VerdictOptions = {}): Promise<readonly Analysis[]> {
    const { analyses } = await this.#verdict<AnalysesPage>({ after: receipt }, options)
    return analyses
  }

  #verdict<T>(query: Query, { waitForMs = VERDICT_WAIT_MS, signal }: VerdictOptions): Promise<T> {
    const wait = Math.min(waitForMs, VERDICT_WAIT_MS)
    return this.call('GET', '/analyze', { query: { ...query, wait }, retryForMs: waitForMs - wait, signal })
  }

  /** Returns a page of keys and their newest analyses. */
  analyses(query: AnalysesQuery = {}, options: CallOptions = {}): Promise<AnalysesPage> {
    return this.call('GET', '/analyze', { ...options, query: { ...query } })
  }

  /** Returns the window of a key. */
  history(key: string, options: CallOptions = {}): Promise<History> {
    return this.call('GET', '/history', { ...options, query: { key } })
  }

  /** Returns a key's samples in buckets of time: of 10 s, 1 min or 15 min, or of a longer step. */
  aggregates(key: string, query: AggregatesQuery = {}, options: CallOptions = {}): Promise<Aggregates> {
    return this.call('GET', '/aggregates', { ...options, query: { key, ...query } })
  }

  /** Returns a page of past anomalies, newest first. */
  anomalies(query: AnomaliesQuery = {}, options: CallOptions = {}): Promise<AnomaliesPage> {
    return this.call('GET', '/anomalies', { ...options, query: { ...query } })
  }

  /** Returns the state of keys and pipeline in numbers. */
  overview(options: CallOptions = {}): Promise<Overview> {
    return this.call('GET', '/overview', options)
  }

  /** Returns which partition went from which analyzer to which, newest first. */
  rebalances(query: { readonly limit?: number } = {}, options: CallOptions = {}): Promise<Rebalances> {
    return this.call('GET', '/rebalances', { ...options, query: { ...query } })
  }

  /** Returns a page of keys, sorted and filtered. */
  keys(query: KeysQuery = {}, options: CallOptions = {}): Promise<KeysPage> {
    return this.call('GET', '/keys', { ...options, query: { ...query } })
  }

  alerts(query: AlertsQuery = {}, options: CallOptions = {}): Promise<AlertsPage> {
    return this.call('GET', '/alerts', { ...options, query: { ...query } })
  }

  /** Returns firing alerts in groups of one cause, each with its first `members` alerts. */
  alertGroups(
    query: Omit<AlertsQuery, 'state' | 'group'> & { readonly members?: number } = {},
    options: CallOptions = {},
  ): Promise<AlertGroupsPage> {
    return this.call('GET', '/alerts/groups', { ...options, query: { ...query } })
  }

  /** `who` is ignored if the request has an API key or a session: it is then who these say. */
  acknowledge(id: string, note: NoteFields, options: CallOptions = {}): Promise<Alert> {
    return this.call('POST', `/alerts/${encodeURIComponent(id)}/acknowledge`, { ...options, body: note })
  }

  /** `until` is a time or a duration, such as `2h`. */
  snooze(id: string, note: NoteFields & { readonly until: string }, options: CallOptions = {}): Promise<Alert> {
    return this.call('POST', `/alerts/${encodeURIComponent(id)}/snooze`, { ...options, body: note })
  }

  endSnooze(id: string, note: NoteFields, options: CallOptions = {}): Promise<Alert> {
    return this.call('DELETE', `/alerts/${encodeURIComponent(id)}/snooze`, { ...options, query: { ...note } })
  }

  /** Marks an alert as useful or as noise; null removes the mark. */
  markAlert(id: string, useful: boolean | null, note: Partial<NoteFields> = {}, options: CallOptions = {}) {
    const path = `/alerts/${encodeURIComponent(id)}/feedback`
    if (useful === null) return this.call<Alert>('DELETE', path, options)
    return this.call<Alert>('PUT', path, { ...options, body: { useful, ...note } })
  }

  /** Suppresses the notifications of all keys that match a pattern. */
  mute(
    id: string,
    mute: NoteFields & { readonly pattern: string; readonly until: string },
    options: CallOptions = {},
  ): Promise<unknown> {
    return this.call('PUT', `/mutes/${encodeURIComponent(id)}`, { ...options, body: mute })
  }

  endMute(id: string, note: NoteFields, options: CallOptions = {}): Promise<unknown> {
    return this.call('DELETE', `/mutes/${encodeURIComponent(id)}`, { ...options, query: { ...note } })
  }

  /** Returns a page of dead letters, newest first. */
  deadLetters(query: { readonly cursor?: string; readonly limit?: number } = {}, options: CallOptions = {}) {
    return this.call<DeadLettersPage>('GET', '/dead', { ...options, query: { ...query } })
  }

  /** Stores the samples of a dead letter again for analysis. */
  redrive(id: string, options: CallOptions = {}): Promise<Pick<IngestResult, 'accepted' | 'receipts'>> {
    return this.call('POST', `/dead/${encodeURIComponent(id)}/put-back`, options)
  }

  discardDeadLetter(id: string, options: CallOptions = {}): Promise<unknown> {
    return this.call('POST', `/dead/${encodeURIComponent(id)}/discard`, options)
  }

  /** Returns all rules and mutes, with what was counted. */
  rules(options: CallOptions = {}): Promise<Rules> {
    return this.call('GET', '/rules', options)
  }

  /** Adds or replaces a rule. With `version`, only if no one has changed the rules since. */
  putRule(
    { id, ...rule }: WrittenRule,
    { version, ...note }: NoteFields & { readonly version?: number | undefined },
    options: CallOptions = {},
  ): Promise<Rule> {
    const body = { rule, ...note }
    return this.call('PUT', `/rules/${encodeURIComponent(id)}`, { ...options, body, headers: ifMatch(version) })
  }

  deleteRule(
    id: string,
    { version, ...note }: NoteFields & { readonly version?: number | undefined },
    options: CallOptions = {},
  ): Promise<unknown> {
    const query = { ...note }
    return this.call('DELETE', `/rules/${encodeURIComponent(id)}`, { ...options, query, headers: ifMatch(version) })
  }

  /** Returns a page of changes of rules, mutes and the storm policy, newest first. */
  ruleChanges(query: { readonly cursor?: string; readonly limit?: number } = {}, options: CallOptions = {}) {
    return this.call<RuleChangesPage>('GET', '/rules/changes', { ...options, query: { ...query } })
  }

  /** Validates a rule, and returns what it would have done. It changes nothing. */
  previewRule(body: PreviewQuery, options: CallOptions = {}): Promise<RulePreview> {
    return this.call('POST', '/rules/preview', { ...options, body })
  }

  /** Returns which rule is in force for a key, and why. */
  explainRules(key: string, options: CallOptions = {}): Promise<RuleExplanation> {
    return this.call('GET', '/rules/explain', { ...options, query: { key } })
  }

  /**
   * Yields the events of the live feed. It reconnects by itself and resumes after the last event;
   * an event `gap` says what could not be resumed. Ends by the signal, or throws what a retry
   * cannot repair.
   */
  events(query: Query = {}, options: FeedOptions = {}): AsyncGenerator<FeedEvent> {
    const connect = (headers: Readonly<Record<string, string>>, signal: AbortSignal) =>
      this.request('GET', '/events', { query, headers, signal })
    return readFeed(connect, options)
  }

  /** Returns who sends the requests, and what they may do. */
  session(options: CallOptions = {}): Promise<Caller> {
    return this.call('GET', '/session', options)
  }

  /** Begins a session of this browser. */
  login(apiKey: string, options: CallOptions = {}): Promise<Caller> {
    return this.call('POST', '/login', { ...options, body: { api_key: apiKey } })
  }

  logout(options: CallOptions = {}): Promise<{ readonly ended: boolean }> {
    return this.call('POST', '/logout', options)
  }
}

const IDEMPOTENCY_KEY = 'Idempotency-Key'

export interface IngestOptions extends CallOptions {
  /**
   * At random, unless it is given. Null: none, which lets small requests share entries of the
   * stream; a request whose response is lost is then not retried.
   */
  readonly idempotencyKey?: string | null
}

export interface VerdictOptions {
  /** How long the verdict may take. */
  readonly waitForMs?: number
  readonly signal?: AbortSignal | undefined
}

export interface PreviewQuery {
  readonly rule: Readonly<Record<string, unknown>>
  /** Only this key, with the verdict on each sample. */
  readonly key?: string
  readonly prefix?: string
  /** Samples to look through; 0 only validates the rule. */
  readonly samples_max?: number
}

export interface NoteFields {
  readonly who?: string
  readonly why: string
}

export interface KeysQuery {
  readonly sort?: 'trouble' | 'z' | 'name' | 'rate' | 'last_seen'
  readonly prefix?: string
  readonly search?: string
  readonly state?: Exclude<KeyRow['state'], 'refused' | 'ignored'> | 'alerting'
  readonly values?: number
  readonly offset?: number
  readonly cursor?: string
  readonly limit?: number
}

export interface AnomaliesQuery {
  readonly key?: string
  readonly prefix?: string
  /** Unix milliseconds. */
  readonly from?: number
  readonly to?: number
  readonly cursor?: string
  readonly limit?: number
}

export interface AlertsQuery {
  readonly state?: Alert['state']
  readonly prefix?: string
  readonly rule?: string
  readonly severity?: Severity
  readonly kind?: AlertKind
  /** The id of a group. */
  readonly group?: string
  readonly cursor?: string
  readonly limit?: number
}

export interface AnalysesQuery {
  readonly prefix?: string
  readonly state?: KeyState
  readonly cursor?: string
  readonly limit?: number
}

function ifMatch(version: number | undefined): Readonly<Record<string, string>> {
  return version === undefined ? {} : { 'If-Match': `"${version}"` }
}

/** Returns `?a=b`, without the parameters that are undefined. */
export function queryText(query: Query = {}): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.append(name, String(value))
  return given.size === 0 ? '' : `?${given}`
}

/** A proxy may respond instead of the gateway: only the gateway says what is stored. */
function isIngestResult(result: unknown): boolean {
  return typeof result === 'object' && result !== null && 'accepted' in result && 'rejected' in result
}

/** Pages without TLS have no crypto.randomUUID. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
}
