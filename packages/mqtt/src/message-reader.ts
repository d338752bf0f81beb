import type { Sample } from '@tidemark/client/types'
import type { TopicTemplate } from './key-template.ts'
import { readPayload } from './payload.ts'
import { Sparkplug } from './sparkplug.ts'

/** Why a value, or a whole message, becomes no sample. */
export const SKIP_REASONS = [
  'unreadable',
  'too_large',
  'no_number',
  'unnamed',
  'control',
  'no_level',
  'key_too_long',
  'empty',
  'retained',
] as const
export type SkipReason = (typeof SKIP_REASONS)[number]

/** What a message holds: each of its values is a sample, or counted, and there is at least one. */
export interface MessageContent {
  readonly samples: readonly Sample[]
  readonly skipped: ReadonlyMap<SkipReason, number>
  /** Where an edge node of Sparkplug is to be asked for its birth certificate. */
  readonly commandTopic?: string
}

/** No gateway takes longer keys. Longer ones could fill the memory, as each value has its own. */
const KEY_LENGTH_MAX = 1024

/** Reads the messages of a broker: plain numbers, JSON, and Sparkplug B under its topics. */
export class MessageReader {
  readonly #template: TopicTemplate
  readonly #bytesMax: number
  readonly #sparkplug = new Sparkplug()

  constructor(template: TopicTemplate, bytesMax: number) {
    this.#template = template
    this.#bytesMax = bytesMax
  }

  read(topic: string, payload: Uint8Array): MessageContent {
    if (payload.byteLength > this.#bytesMax) return skipped('too_large')
    const sparkplug = Sparkplug.isTopic(topic) ? this.#sparkplug.read(topic, payload) : undefined
    const read = Sparkplug.isTopic(topic) ? sparkplug : readPayload(payload)
    if (read === undefined) return skipped('unreadable')
    const keyOf = this.#template.keysOf(sparkplug?.topic ?? topic)
    const samples: Sample[] = []
    let tooLong = 0
    if (keyOf !== undefined) {
      for (const { field, value, timestamp } of read.readings) {
        const key = field.length > KEY_LENGTH_MAX ? field : keyOf(field)
        if (key.length > KEY_LENGTH_MAX) tooLong++
        else samples.push({ key, value, ...(timestamp !== undefined && { timestamp }) })
      }
    }
    const counts: readonly [SkipReason, number][] = [
      ['no_number', read.skipped],
      ['unnamed', sparkplug?.unnamed ?? 0],
      ['control', sparkplug?.control ?? 0],
      ['no_level', keyOf === undefined ? read.readings.length : 0],
      ['key_too_long', tooLong],
    ]
    const found = counts.filter(([, count]) => count > 0)
    return {
      samples,
      skipped: new Map(samples.length + found.length === 0 ? [['empty', 1]] : found),
      ...(sparkplug !== undefined && sparkplug.unnamed > 0 && { commandTopic: sparkplug.commandTopic }),
    }
  }
}

/** A message of which nothing is read. */
export function skipped(reason: SkipReason): MessageContent {
  return { samples: [], skipped: new Map([[reason, 1]]) }
}
