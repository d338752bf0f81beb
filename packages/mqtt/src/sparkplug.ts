import { get } from 'sparkplug-payload'
import type { Payload, Reading } from './payload.ts'

const NAMESPACE = 'spBv1.0'

const codec = get(NAMESPACE) as NonNullable<ReturnType<typeof get>>

/** What all names by alias may take: half a million of them. */
const NAMES_BYTES_MAX = 64 * 1024 * 1024

/** What a name takes beside its characters. */
const NAME_BYTES = 100

export interface SparkplugPayload extends Payload {
  /** The topic without the message type: namespace, group, node and device. */
  readonly topic: string
  /** Metrics whose alias no birth certificate has named: their samples are not known. */
  readonly unnamed: number
  /** Metrics and messages that control the session of a node: no measurements. */
  readonly control: number
  /** The topic of commands to the node. */
  readonly commandTopic: string
}

/** The names of an edge node's or device's metrics, by alias. */
interface Birth {
  readonly names: ReadonlyMap<string, string>
  readonly bytes: number
}

type Metric = NonNullable<ReturnType<typeof codec.decodePayload>['metrics']>[number]

/**
 * Reads Sparkplug B (Eclipse Sparkplug 3.0.0, chapters 4 and 6): topics of the form
 * `spBv1.0/GROUP/TYPE/NODE[/DEVICE]` with payloads in Protocol Buffers. Data may name metrics by an
 * alias that only the birth certificate explains, so those of all nodes are remembered.
 */
export class Sparkplug {
  readonly #births = new Map<string, Birth>()
  #bytes = 0

  /** Whether a topic is one of Sparkplug's. */
  static isTopic(topic: string): boolean {
    return topic.startsWith(`${NAMESPACE}/`)
  }

  /** Returns undefined for a topic or payload that is none. */
  read(topic: string, bytes: Uint8Array): SparkplugPayload | undefined {
    const [, group = '', type = '', node = '', device] = topic.split('/')
    const source = [NAMESPACE, group, node, ...(device === undefined ? [] : [device])].join('/')
    const commandTopic = `${NAMESPACE}/${group}/NCMD/${node}`
    const none = { topic: source, readings: [], skipped: 0, unnamed: 0, control: 1, commandTopic }
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
    const names = this.#births.get(source)?.names
    const readings: Reading[] = []
    let skipped = 0
    let unnamed = 0
    let control = 0
    for (const metric of metrics) {
      const field = metric.name ?? names?.get(String(metric.alias))
      const value = typeof metric.value === 'boolean' ? Number(metric.value) : toNumber(metric.value)
      if (field === undefined) unnamed++
      else if (field === 'bdSeq' || field.startsWith('Node Control/')) control++
      else if (value === undefined || metric.isNull === true || metric.type === 'DateTime') skipped++
      else readings.push({ field, value: value + 0, timestamp: toNumber(metric.timestamp) ?? time })
    }
    return { topic: source, readings, skipped, unnamed, control, commandTopic }
  }

  /** The payload of a command that makes a node send its birth certificates again. */
  static rebirth(now: number): Uint8Array {
    const metrics = [{ name: 'Node Control/Rebirth', type: 'Boolean' as const, value: true, timestamp: now }]
    return codec.encodePayload({ timestamp: now, metrics })
  }

  /** Remembers names. The oldest births are forgotten where all take too much memory. */
  #learn(source: string, metrics: readonly Metric[]): void {
    const names = new Map<string, string>()
    let bytes = NAME_BYTES + source.length
    for (const { name, alias } of metrics) {
      if (typeof name !== 'string' || alias === null || alias === undefined) continue
      names.set(String(alias), name)
      bytes += NAME_BYTES + name.length
    }
    this.#forget(source)
    this.#births.set(source, { names, bytes })
    this.#bytes += bytes
    for (const oldest of this.#births.keys()) {
      if (this.#bytes <= NAMES_BYTES_MAX) break
      this.#forget(oldest)
    }
  }

  #forget(source: string): void {
    this.#bytes -= this.#births.get(source)?.bytes ?? 0
    this.#births.delete(source)
  }
}

/** Returns a finite number; undefined for anything else. 64-bit integers are Longs. */
function toNumber(value: unknown): number | undefined {
  if (value === null || value === undefined || typeof value === 'string') return undefined
  const isLong = typeof value === 'object' && 'toNumber' in value && typeof value.toNumber === 'function'
  const number = isLong ? (value.toNumber as () => number).call(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}
