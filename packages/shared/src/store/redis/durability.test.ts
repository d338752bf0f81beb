import { describe, expect, test } from 'vitest'
import { DURABILITY_LEVELS } from '../ports/store.ts'
import { judgeDurability, type RedisFacts } from './durability.ts'

/** A Redis that gives everything. */
const CONFIG = { appendfsync: 'always', skipsFsyncOnRewrite: false, minReplicas: 1 }
const BEST: RedisFacts = {
  name: 'Redis',
  evictionPolicy: 'noeviction',
  isAppendOnly: true,
  replicas: 1,
  config: CONFIG,
}

const sentenceWith = (...words: string[]) => words.map(word => expect.stringContaining(word))

describe('judging what Redis keeps', () => {
  test.each(DURABILITY_LEVELS)('a Redis that gives everything is good for %s', level => {
    expect(judgeDurability(level, BEST)).toEqual({ faults: [], outages: [], warnings: [] })
  })

  test.each(DURABILITY_LEVELS)('a Redis that would drop keys to make room is good for nothing, not for %s', level => {
    const { faults } = judgeDurability(level, { ...BEST, evictionPolicy: 'allkeys-lru' })
    expect(faults).toEqual([expect.stringMatching(/maxmemory-policy allkeys-lru.*set it to noeviction/)])
  })

  test('memory needs nothing but that', () => {
    const facts = { ...BEST, isAppendOnly: false, replicas: 0, config: undefined }
    expect(judgeDurability('memory', facts)).toEqual({ faults: [], outages: [], warnings: [] })
    expect(judgeDurability('memory', { ...facts, evictionPolicy: 'allkeys-lru' }).faults).toHaveLength(1)
  })

  test('without an append-only file local is a matter of taste, and more is impossible', () => {
    const facts = { ...BEST, isAppendOnly: false }
    expect(judgeDurability('local', facts)).toEqual({
      faults: [],
      outages: [],
      warnings: sentenceWith('appendonly no'),
    })
    expect(judgeDurability('disk', facts).faults).toEqual(
      sentenceWith('DURABILITY is disk, and Redis has appendonly no'),
    )
    expect(judgeDurability('replicated', facts).faults).toEqual(sentenceWith('DURABILITY is replicated'))
  })

  test('disk needs every write to be on disk before its answer', () => {
    const facts = { ...BEST, config: { ...CONFIG, appendfsync: 'everysec' } }
    expect(judgeDurability('disk', facts).faults).toEqual(sentenceWith('appendfsync everysec: set it to always'))
    for (const level of ['local', 'replicated'] as const) {
      expect(judgeDurability(level, facts)).toEqual({ faults: [], outages: [], warnings: [] })
    }
  })

  test('writes that wait for a rewrite are too late for disk, and are warned of elsewhere', () => {
    const facts = { ...BEST, config: { ...CONFIG, skipsFsyncOnRewrite: true } }
    expect(judgeDurability('disk', facts).faults).toEqual(sentenceWith('no-appendfsync-on-rewrite yes'))
    expect(judgeDurability('local', facts)).toEqual({
      faults: [],
      outages: [],
      warnings: sentenceWith('no-appendfsync-on-rewrite yes'),
    })
  })

  test('replicated needs a replica that is online, and a Redis that refuses to write without one', () => {
    expect(judgeDurability('replicated', { ...BEST, replicas: 0 }).outages).toEqual(
      sentenceWith('no replica that is online'),
    )
    const facts = { ...BEST, config: { ...CONFIG, minReplicas: 0 } }
    expect(judgeDurability('replicated', facts).faults).toEqual(sentenceWith('min-replicas-to-write 0'))
    expect(judgeDurability('disk', { ...facts, replicas: 0 })).toEqual({ faults: [], outages: [], warnings: [] })
  })

  test('what cannot be looked at is warned of by its name, and the rest is judged all the same', () => {
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
