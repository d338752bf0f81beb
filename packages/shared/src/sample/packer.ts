import { JsonWriter } from '../writing/json-writer.ts'
import type { Sample } from './sample.ts'

/** A partition's samples as items of an entry's field `s`: `"k",420,1700000000000`. */
export interface PackedSamples {
  readonly partition: number
  readonly samples: string
  readonly count: number
}

const COMMA = 44

/**
 * Divides samples by partition and writes them as text into buffers: in half the time of
 * JSON.stringify, which was a quarter of the gateway's CPU time with requests of 1,000 samples.
 */
export class SamplePacker {
  readonly #texts: (PartitionText | undefined)[]

  constructor(partitions: number) {
    this.#texts = Array.from({ length: partitions }, () => undefined)
  }

  /** Adds a sample to the partition of its key. */
  add(partition: number, { key, value, timestamp }: Sample): void {
    let text = this.#texts[partition]
    if (text === undefined) {
      text = new PartitionText()
      this.#texts[partition] = text
    }
    text.add(key, value, timestamp)
  }

  /** Returns the samples added since the last call, by ascending partition, in order. */
  take(): PackedSamples[] {
    const packed: PackedSamples[] = []
    this.#texts.forEach((text, partition) => {
      if (text !== undefined && text.count > 0) packed.push({ partition, count: text.count, samples: text.take() })
    })
    return packed
  }
}

/** The text of one partition's samples. */
class PartitionText {
  count = 0
  readonly #writer = new JsonWriter()

  add(key: string, value: number, timestamp: number): void {
    const writer = this.#writer
    writer.reserve({ text: key.length, numbers: 2, bytes: 5 })
    if (this.count++ > 0) writer.byte(COMMA)
    writer.text(key)
    writer.byte(COMMA)
    writer.number(value)
    writer.byte(COMMA)
    writer.number(timestamp)
  }

  take(): string {
    this.count = 0
    return this.#writer.take()
  }
}
