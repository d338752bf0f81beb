import { describe, expect, test } from 'vitest'
import { DURABILITY_LEVELS } from '../ports/store.ts'
import { judgeDurability, providedLevel, type RedisFacts } from './durability.ts'

/** A Redis that satisfies every level. */
const CONFIG = { appendfsync: 'always', skipsFsyncOnRewrite: false, minReplicas: 1 }
const BEST: RedisFacts = {
  name: 'Redis',
  evictionPolicy: 'noeviction',
  isAppendOnly: true,
  replicas: 1,
  config: CONFIG,
}

const sentenceWith = (...words: string[]) => words.map(word => expect.stringContaining(word))

describe('judging the durability of Redis', () => {
  test.each(DURABILITY_LEVELS)('a Redis with the best settings satisfies %s', level => {
    expect(judgeDurability(level, BEST)).toEqual({ faults: [], outages: [], warnings: [] })
  })

  test.each(DURABILITY_LEVELS)('a Redis that evicts keys satisfies no level, not even %s', level => {
    const { faults } = judgeDurability(level, { ...BEST, evictionPolicy: 'allkeys-lru' })
    expect(faults).toEqual([expect.stringMatching(/maxmemory-policy allkeys-lru.*set it to noeviction/)])
  })

  test('memory needs nothing else', () => {
    const facts = { ...BEST, isAppendOnly: false, replicas: 0, config: undefined }
    expect(judgeDurability('memory', facts)).toEqual({ faults: [], outages: [], warnings: [] })
    expect(judgeDurability('memory', { ...facts, evictionPolicy: 'allkeys-lru' }).faults).toHaveLength(1)
  })

  test('without an append-only file memory is provided, and every higher level has a fault', () => {
    const facts = { ...BEST, isAppendOnly: false }
    expect(providedLevel([BEST])).toBe('local')
    expect(providedLevel([BEST, facts])).toBe('memory')
    expect(judgeDurability('local', facts)).toEqual({
      faults: sentenceWith('DURABILITY is local, and Redis has appendonly no'),
      outages: [],
      warnings: [],
    })
    expect(judgeDurability('disk', facts).faults).toEqual(
      sentenceWith('DURABILITY is disk, and Redis has appendonly no'),
    )
    expect(judgeDurability('replicated', facts).faults).toEqual(sentenceWith('DURABILITY is replicated'))
  })

  test('disk needs every write to be synced before its reply', () => {
    const facts = { ...BEST, config: { ...CONFIG, appendfsync: 'everysec' } }
    expect(judgeDurability('disk', facts).faults).toEqual(sentenceWith('appendfsync everysec: set it to always'))
    for (const level of ['local', 'replicated'] as const) {
      expect(judgeDurability(level, facts)).toEqual({ faults: [], outages: [], warnings: [] })
    }
  })

  test('skipping the sync during a rewrite is a fault for disk and a warning for other levels', () => {
    const facts = { ...BEST, config: { ...CONFIG, skipsFsyncOnRewrite: true } }
    expect(judgeDurability('disk', facts).faults).toEqual(sentenceWith('no-appendfsync-on-rewrite yes'))
    expect(judgeDurability('local', facts)).toEqual({
      faults: [],
      outages: [],
      warnings: sentenceWith('no-appendfsync-on-rewrite yes'),
    })
  })

  test('replicated needs a replica that is online, and a Redis that refuses writes without one', () => {
    expect(judgeDurability('replicated', { ...BEST, replicas: 0 }).outages).toEqual(
      sentenceWith('no replica that is online'),
    )
    const facts = { ...BEST, config: { ...CONFIG, minReplicas: 0 } }
    expect(judgeDurability('replicated', facts).faults).toEqual(sentenceWith('min-replicas-to-write 0'))
    expect(judgeDurability('disk', { ...facts, replicas: 0 })).toEqual({ faults: [], outages: [], warnings: [] })
  })

  test('settings that cannot be read are named in a warning, and the rest is judged', () => {
    const hidden = { ...BEST, config: undefined }
    expect(judgeDurability('disk', hidden)).toEqual({
      faults: [],
      outages: [],
      warnings: sentenceWith('appendfsync is always'),
    })
    expect(judgeDurability('replicated', hidden).warnings).toEqual(sentenceWith('min-replicas-to-write'))
    expect(judgeDurability('disk', { ...hidden, evictionPolicy: 'volatile-lru' }).faults).toHaveLength(1)
  })
})
