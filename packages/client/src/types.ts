/** What the gateway sends and takes, by the names of its OpenAPI document. */

/** A measured value of a key. Without a timestamp it is the time of arrival. */
export interface Sample {
  readonly key: string
  readonly value: number
  /** Unix seconds, Unix milliseconds or ISO 8601. */
  readonly timestamp?: number | string
}

/** Several metrics of one device. Its keys are `device/metric`. */
export interface DeviceReport {
  readonly device: string
  readonly timestamp?: number | string
  readonly metrics: Readonly<Record<string, number>>
}

/** The legacy load-report body. Its keys are `default/cpu` and `default/rps`. */
export interface LoadReport {
  readonly timestamp?: number | string
  readonly cpu?: number
  readonly rps: number
}

export type Item = Sample | DeviceReport | LoadReport

export interface Rejected {
  /** Index of the item in the body. */
  readonly index: number
  readonly reason: string
}

export interface IngestResult {
  /** Samples stored. Each will be analysed exactly once. */
  readonly accepted: number
  readonly rejected: readonly Rejected[]
  /** Parts of an agent's body that are no samples, by why they were skipped. */
  readonly skipped?: {
    readonly text?: number
    readonly null?: number
    readonly nested?: number
    readonly unsupported?: number
  }
  /** One for each partition that got samples. */
  readonly receipts: readonly string[]
  readonly durability: 'memory' | 'local' | 'disk' | 'replicated'
}

/** Why a request failed (RFC 9457). */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail?: string
  readonly instance?: string
  readonly errors?: readonly {
    readonly detail: string
    readonly index?: number
    readonly parameter?: string
    readonly field?: string
  }[]
  readonly accepted?: number
  readonly rejected?: readonly Rejected[]
  readonly receipts?: readonly string[]
  readonly backlog?: number
  readonly version?: number
}

/** The states of a key. */
export type KeyState = 'warming' | 'flat' | 'ok' | 'anomalous'

/** The verdict on one sample. */
export interface Analysis {
  readonly key: string
  readonly value: number
  /** When the sample was measured, in Unix milliseconds. */
  readonly timestamp: number
  /** Of the window; null while it is empty. */
  readonly mean: number | null
  readonly deviation: number | null
  /** Null while warming. */
  readonly z: number | null
  readonly threshold: number
  /** The band; null while warming. */
  readonly low: number | null
  readonly high: number | null
  readonly anomaly: boolean
  readonly state: KeyState | 'refused' | 'ignored'
  /** Samples of this key analysed so far, including this one. */
  readonly count: number
  /** Samples that the verdict is based on. */
  readonly window: number
  /** The receipt of the sample's entry. */
  readonly id: string
  readonly analyzed_at: number
  readonly rule?: string
  readonly detector?: string
  readonly score?: number | null
  readonly rate?: number | null
  /** The value is outside the range of its rule: an anomaly by any score. */
  readonly range?: 'above' | 'below'
  /** Of the values; rates are per second of it. */
  readonly unit?: string
  readonly late?: true
  readonly duplicate?: true
}

export interface LoadAnalysis {
  readonly timestamp: number
  readonly rps_avg: number
  readonly rps_z: number
  readonly anomaly: boolean
  readonly window: number
  readonly count: number
}

export interface AnalysesPage {
  readonly analyses: readonly Analysis[]
  /** Null on the last page. An empty page can have a next page. */
  readonly cursor: string | null
  readonly analysis: LoadAnalysis | null
}

export interface History {
  readonly key: string
  readonly count: number
  /** The window, oldest first. */
  readonly values: readonly number[]
  readonly timestamps: readonly number[]
  /** Of a counter, per second; null while unknown. */
  readonly rates?: readonly (number | null)[]
  readonly unit?: string
  /** Of the window before each value; null if that is no longer kept. */
  readonly mean: readonly (number | null)[]
  /** The band at each value. */
  readonly low: readonly (number | null)[]
  readonly high: readonly (number | null)[]
  readonly state: readonly (Analysis['state'] | null)[]
}

export type Scope = 'ingest' | 'read' | 'operate' | 'admin'

/** Who sends the requests. */
export interface Caller {
  readonly id: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly key_prefix: string
  readonly via: 'open' | 'api-key' | 'session'
  readonly expires_at: number | null
}
