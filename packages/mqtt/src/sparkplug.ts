import { get } from 'sparkplug-payload'
import type { Payload, Reading } from './payload.ts'

const NAMESPACE = 'spBv1.0'

const codec = get(NAMESPACE) as NonNullable<ReturnType<typeof get>>

/** Names by alias that one edge node or device may have. */
const ALIASES_MAX = 100_000
const SOURCES_MAX = 100_000

export interface SparkplugPayload extends Payload {
  /** The topic without the message type: namespace, group, node and device. */
  readonly topic: string
  /** Metrics whose alias no birth certificate has named: their samples are not known. */
  readonly unnamed: number
  /** The topic of commands to the node. */
  readonly commandTopic: string
}

type Metric = NonNullable<ReturnType<typeof codec.decodePayload>['metrics']>[number]

/**
 * Reads Sparkplug B (Eclipse Sparkplug 3.0.0, chapters 4 and 6): topics of the form
 * `spBv1.0/GROUP/TYPE/NODE[/DEVICE]` with payloads in Protocol Buffers. Data may name metrics by an
 * alias that only the birth certificate explains, so those of all nodes are remembered.
 */
export class Sparkplug {
  readonly #aliases = new Map<string, Map<string, string>>()

  /** Whether a topic is one of Sparkplug's. */
  static isTopic(topic: string): boolean {
    return topic.startsWith(`${NAMESPACE}/`)
  }

  /** Returns undefined for a topic or payload that is none. */
  read(topic: string, bytes: Uint8Array): SparkplugPayload | undefined {
    const [, group = '', type = '', node = '', device] = topic.split('/')
    const source = [NAMESPACE, group, node, ...(device === undefined ? [] : [device])].join('/')
    const commandTopic = `${NAMESPACE}/${group}/NCMD/${node}`
    const none = { topic: source, readings: [], skipped: 0, unnamed: 0, commandTopic }
    const isBirth = type === 'NBIRTH' || type === 'DBIRTH'
    // Deaths, commands and the state of hosts have no measurements.
    if (!isBirth && type !== 'NDATA' && type !== 'DDATA') return none
    let metrics: readonly Metric[]
    let time: number | undefined
    try {
      const payload = codec.decodePayload(bytes)
      metrics = payload.metrics ?? []
      time = toNumber(payload.timestamp)
    } catch {
      return undefined
    }
    if (isBirth) this.#learn(source, metrics)
    const names = this.#aliases.get(source)
    const readings: Reading[] = []
    let skipped = 0
    let unnamed = 0
    for (const metric of metrics) {
      const field = metric.name ?? names?.get(String(metric.alias))
      const value = typeof metric.value === 'boolean' ? Number(metric.value) : toNumber(metric.value)
      if (field === undefined) unnamed++
      // Control and counters of the session are no measurements.
      else if (field === 'bdSeq' || field.startsWith('Node Control/')) continue
      else if (value === undefined || metric.isNull === true || metric.type === 'DateTime') skipped++
      else readings.push({ field, value: value + 0, timestamp: toNumber(metric.timestamp) ?? time })
    }
    return { topic: source, readings, skipped, unnamed, commandTopic }
  }

  /** The payload of a command that makes a node send its birth certificates again. */
  static rebirth(now: number): Uint8Array {
    const metrics = [{ name: 'Node Control/Rebirth', type: 'Boolean' as const, value: true, timestamp: now }]
    return codec.encodePayload({ timestamp: now, metrics })
  }

  #learn(source: string, metrics: readonly Metric[]): void {
    const names = new Map<string, string>()
    for (const { name, alias } of metrics) {
      if (typeof name !== 'string' || alias === null || alias === undefined) continue
      if (names.size < ALIASES_MAX) names.set(String(alias), name)
    }
    // The newest births last, so that the oldest are forgotten first.
    this.#aliases.delete(source)
    this.#aliases.set(source, names)
    if (this.#aliases.size > SOURCES_MAX) this.#aliases.delete(this.#aliases.keys().next().value as string)
  }
}

/** Returns a finite number; undefined for anything else. 64-bit integers are Longs. */
function toNumber(value: unknown): number | undefined {
  if (value === null || value === undefined || typeof value === 'string') return undefined
  const isLong = typeof value === 'object' && 'toNumber' in value && typeof value.toNumber === 'function'
  const number = isLong ? (value.toNumber as () => number).call(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}
