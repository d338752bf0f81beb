import { setImmediate } from 'node:timers/promises'
import { decodeWindow } from '@tidemark/shared/detection/window-row'
import { toUnixMs } from '@tidemark/shared/sample/arrival'
import { SAMPLE_STRIDE } from '@tidemark/shared/sample/entry'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { arrivalMs, type EntryId } from '@tidemark/shared/sample/receipt'
import type { GatewayStore } from '@tidemark/shared/store/ports/gateway'
import type { Store } from '@tidemark/shared/store/ports/store'
import { countIn, samplesOf } from '@tidemark/shared/verdict/kept-verdicts'

/** Entries that are read at once: they are parsed in one turn of the event loop. */
const READ_AT_ONCE = 64

/** Of so many times `keysMax` keys samples are gathered, to choose those with the most. */
const GATHERED = 10

/** The samples of a key that are kept, oldest first. */
export interface KeptSamples {
  readonly key: string
  readonly values: readonly number[]
  /** As they are stored (sample/arrival.ts). */
  readonly timestamps: readonly number[]
  /** When they arrived; never decreasing. */
  readonly times: readonly number[]
}

export interface KeptHistory {
  /** Those with the most samples first. */
  readonly keys: readonly KeptSamples[]
  /** Keys that were found, of which `keys` may have only some. */
  readonly found: number
  /** Whether older samples are kept that were not read. */
  readonly isCut: boolean
}

export interface Wanted {
  /** Only this key, whatever `isWanted` says. */
  readonly key: string | undefined
  readonly isWanted: (key: string) => boolean
  /** Samples to look through, those of other keys included. */
  readonly samplesMax: number
  readonly keysMax: number
  readonly now: number
}

/** Newest first. */
interface Found {
  readonly values: number[]
  readonly timestamps: number[]
  readonly times: number[]
}

/**
 * Reads what is kept of keys: the samples whose verdicts are kept, and before them those that only
 * the window of the key still has. A key without a window is deleted or evicted: it is left out.
 */
export async function readKeptSamples(store: Store, wanted: Wanted): Promise<KeptHistory> {
  const { partitions, gateway } = store
  const { key, samplesMax, keysMax } = wanted
  const all = Array.from({ length: partitions }, (_, partition) => partition)
  const read = key === undefined ? all : [partitionOf(key, partitions)]
  const gathered: { readonly key: string; readonly samples: Found }[] = []
  let others = 0
  let isCut = false
  // One after the other, because parsing them takes most of the time.
  for (const partition of read) {
    const found = new Map<string, Found | null>()
    // Of a key that has been silent for long, only the window is left.
    if (key !== undefined) found.set(key, noSamples())
    const limits = { samplesMax: samplesMax / read.length, keysMax: (GATHERED * keysMax) / read.length }
    const { more, isEnd } = await collect(gateway, partition, { wanted, found, ...limits })
    for (const [name, samples] of found) if (samples !== null) gathered.push({ key: name, samples })
    others += more
    isCut ||= !isEnd
  }
  const keys = gathered.sort((a, b) => b.samples.values.length - a.samples.values.length || (a.key < b.key ? -1 : 1))
  const kept = await Promise.all(keys.slice(0, keysMax).map(one => withWindow(store, one.key, one.samples)))
  return {
    keys: kept.flatMap(one => (one === undefined || one.values.length === 0 ? [] : [one])),
    found: keys.length + others,
    isCut,
  }
}

function noSamples(): Found {
  return { values: [], timestamps: [], times: [] }
}

interface Collecting {
  readonly wanted: Wanted
  readonly samplesMax: number
  readonly keysMax: number
  /** Null for a key that is not wanted, or one too many. */
  readonly found: Map<string, Found | null>
}

/**
 * Adds the samples of a partition, newest first. Returns how many more keys are wanted than were
 * gathered, and whether there are no older samples.
 */
async function collect(
  gateway: GatewayStore,
  partition: number,
  { wanted: { key, isWanted, now }, samplesMax, keysMax, found }: Collecting,
) {
  let gathered = 0
  let more = 0
  const written = key === undefined ? '' : JSON.stringify(key)
  let upTo: EntryId | undefined
  for (let scanned = 0; scanned < samplesMax; ) {
    const entries = await gateway.keptVerdicts(partition, { upTo, count: READ_AT_ONCE })
    for (const entry of entries) {
      if (entry.id === upTo) continue
      if (scanned >= samplesMax) return { more, isEnd: false }
      scanned += countIn(entry)
      if (!entry.samples.includes(written)) continue
      const samples = samplesOf(entry)
      const time = arrivalMs(entry.id, now)
      for (let i = samples.length - SAMPLE_STRIDE; i >= 0; i -= SAMPLE_STRIDE) {
        const name = String(samples[i])
        let one = found.get(name)
        if (one === undefined) {
          const isOne = key === undefined && isWanted(name)
          one = isOne && gathered < keysMax ? noSamples() : null
          if (one !== null) gathered++
          else if (isOne) more++
          found.set(name, one)
        }
        one?.values.push(samples[i + 1] as number)
        one?.timestamps.push(samples[i + 2] as number)
        one?.times.push(time)
      }
    }
    if (entries.length < READ_AT_ONCE) return { more, isEnd: true }
    // Ingest must not wait for it.
    await setImmediate()
    upTo = entries.at(-1)?.id
  }
  return { more, isEnd: false }
}

/** Returns the samples oldest first, after those that only the window has. */
async function withWindow({ partitions, gateway }: Store, key: string, found: Found): Promise<KeptSamples | undefined> {
  const stored = await gateway.window({ partition: partitionOf(key, partitions), key })
  const window = stored === null ? undefined : decodeWindow(stored)
  if (window === undefined) return undefined
  const known = Map.groupBy(found.values.keys(), i => `${toUnixMs(found.timestamps[i] as number)} ${found.values[i]}`)
  const older: Found = noSamples()
  for (let i = window.values.length - 1; i >= 0; i--) {
    const timestamp = window.timestamps[i] as number
    const value = window.values[i] as number
    if (known.get(`${timestamp} ${value}`)?.pop() !== undefined) continue
    older.values.push(value)
    older.timestamps.push(timestamp)
    // It is not known when it arrived. At its timestamp, as far as the order allows it.
    older.times.push(Math.min(timestamp, older.times.at(-1) ?? found.times.at(-1) ?? timestamp))
  }
  return {
    key,
    values: [...found.values, ...older.values].reverse(),
    timestamps: [...found.timestamps, ...older.timestamps].reverse(),
    times: [...found.times, ...older.times].reverse(),
  }
}
