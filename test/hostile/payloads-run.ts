import { TopicTemplate } from '@tidemark/mqtt/key-template'
import { type MessageContent, MessageReader } from '@tidemark/mqtt/message-reader'
import { Random } from '@tidemark/testkit/random'
import { DEVICE_MESSAGES, type DeviceMessage } from './payload-corpus.ts'

export interface PayloadsResult {
  readonly payloads: number
  readonly samples: number
  /** Values that became no sample, by why. */
  readonly skipped: ReadonlyMap<string, number>
  /** Sentences; the first ones, because one fault causes many. */
  readonly violations: readonly string[]
}

const VIOLATIONS_MAX = 20
const BYTES_MAX = 1024 * 1024
const CHANGES_MAX = 8

/** A hang: what is read here takes a millisecond. */
const READ_MS_MAX = 5000

/** Readers remember names of Sparkplug: the heap must not grow with the number of messages. */
const HEAP_BYTES_MAX = 512 * 1024 * 1024

/**
 * Reads payloads of devices, each damaged in some places, in this process: nothing may be thrown,
 * take long or fill the memory, and each message is samples, or counted with a reason.
 */
export function fuzzPayloads(
  size: number,
  seed: number,
  onProgress: (payloads: number, violations: number) => void = () => {},
): PayloadsResult {
  const random = new Random(seed)
  const reader = new MessageReader(new TopicTemplate('{topic}'), BYTES_MAX)
  const skipped = new Map<string, number>()
  const violations: string[] = []
  let samples = 0
  let payloads = 0
  for (; payloads < size && violations.length < VIOLATIONS_MAX; payloads++) {
    const { device, topic, payload } = damage(random)
    const start = performance.now()
    const problems: string[] = []
    try {
      const content = reader.read(topic, payload)
      problems.push(...problemsOf(content))
      samples += content.samples.length
      for (const [reason, count] of content.skipped) skipped.set(reason, (skipped.get(reason) ?? 0) + count)
    } catch (error) {
      problems.push(`throws ${error}`)
    }
    const ms = performance.now() - start
    if (ms > READ_MS_MAX) problems.push(`takes ${Math.round(ms)} ms`)
    if (payloads % 1000 === 0 && process.memoryUsage().heapUsed > HEAP_BYTES_MAX) problems.push('the heap grows')
    for (const problem of problems) {
      violations.push(`${device}: ${problem}: ${topic} ${payload.subarray(0, 200).toString('hex')}`)
    }
    if (payloads % 100 === 0) onProgress(payloads, violations.length)
  }
  return { payloads, samples, skipped, violations }
}

function problemsOf({ samples, skipped }: MessageContent): string[] {
  const problems: string[] = []
  if (samples.length + skipped.size === 0) problems.push('is lost without a reason')
  for (const { key, value, timestamp } of samples) {
    if (!Number.isFinite(value)) problems.push(`has the value ${value}`)
    if (key.length > 1024) problems.push(`has a key of ${key.length} characters`)
    if (timestamp !== undefined && !Number.isFinite(timestamp)) problems.push(`has the time ${timestamp}`)
  }
  return problems
}

/** What readers could take for something else. */
const TOKENS = [
  ...['{', '}', '[', ']', '"', ',', ':', '\\', '\\u0000', '1e999', 'NaN', '-', '0x', '%2F', '"ts":', '"value":'],
  ...['\u0012\u00ff\u00ff\u00ff\u00ff\u000f', '\u000b', '\u001b', '\u00ff', '1'.repeat(500), '['.repeat(500)],
]

/** Each returns what stands in place of some bytes from a position, and how many these are. */
const CHANGES: readonly ((random: Random, bytes: Buffer, at: number) => readonly [Buffer, number])[] = [
  random => [Buffer.from([random.integer(0, 255)]), 1],
  random => [Buffer.alloc(0), random.integer(1, 16)],
  (random, bytes, at) => [bytes.subarray(at, at + random.integer(1, 64)), 0],
  random => [random.pick(DEVICE_MESSAGES).payload.subarray(0, random.integer(1, 64)), 0],
  random => [Buffer.from(random.pick(TOKENS), 'latin1'), random.integer(0, 1)],
]

/** Changes, removes, repeats and inserts bytes, also of other devices. */
function damage(random: Random): DeviceMessage {
  const message = random.pick(DEVICE_MESSAGES)
  const topic = random.uniform() < 0.1 ? random.pick(DEVICE_MESSAGES).topic : message.topic
  let payload = message.payload
  for (let changes = random.integer(0, CHANGES_MAX); changes > 0; changes--) {
    const at = random.integer(0, payload.length)
    const [between, replaced] = random.pick(CHANGES)(random, payload, at)
    payload = Buffer.concat([payload.subarray(0, at), between, payload.subarray(at + replaced)])
  }
  return { ...message, topic, payload }
}
