import { TopicTemplate } from '@tidemark/mqtt/key-template'
import { MessageReader, SKIP_REASONS } from '@tidemark/mqtt/message-reader'
import { describe, expect, test } from 'vitest'
import { DEVICE_MESSAGES } from './payload-corpus.ts'
import { fuzzPayloads } from './payloads-run.ts'

/** `npm run fuzz -- --of payloads` reads a million. */
const SIZE = 20_000

describe('of payloads of devices', () => {
  test('intact ones are read in full', () => {
    const reader = new MessageReader(new TopicTemplate('{topic}'), 1024 * 1024)
    const read = DEVICE_MESSAGES.map(({ device, topic, payload }) => [
      device,
      reader.read(topic, payload).samples.length,
    ])
    expect(read).toEqual(DEVICE_MESSAGES.map(({ device, samples }) => [device, samples]))
  })

  test('damaged ones are samples, or counted, and nothing is thrown', () => {
    const { payloads, samples, skipped, violations } = fuzzPayloads(SIZE, 12)
    expect(violations).toEqual([])
    expect([payloads, samples > SIZE / 10]).toEqual([SIZE, true])
    // The others need long payloads, another template or a message that the broker has kept.
    const rare = ['too_large', 'no_level', 'key_too_long', 'retained']
    expect([...skipped.keys()].toSorted()).toEqual(SKIP_REASONS.filter(reason => !rare.includes(reason)).toSorted())
  })
})
