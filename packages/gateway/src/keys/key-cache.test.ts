import { partitionOf } from '@tidemark/shared/sample/partition'
import { expect, test } from 'vitest'
import { KeyCache } from './key-cache.ts'

const PARTITIONS = 16

function cacheOf(keysMax: number) {
  const cache = new KeyCache({ keysMax, partitions: PARTITIONS })
  const has = (key: string) => (cache.find([{ key }])[0] as number) >= 0
  return { cache, add: (key: string) => cache.add(key), has }
}

test('a key with the CRC-32 of a cached key is another key', () => {
  const { cache, add, has } = cacheOf(1000)
  add('plumless')
  // The classic pair of words with equal CRC-32.
  expect(partitionOf('buckeroo', 2 ** 32)).toBe(partitionOf('plumless', 2 ** 32))
  expect(has('buckeroo')).toBe(false)
  add('buckeroo')
  expect(['plumless', 'buckeroo'].map(has)).toEqual([true, true])
  cache.forget(partitionOf('plumless', PARTITIONS))
  expect(['plumless', 'buckeroo'].map(has)).toEqual([false, false])
})

test('finds the partitions of keys, known or not, in order', () => {
  const { cache, add } = cacheOf(10_000)
  const keys = Array.from(
    { length: 3000 },
    (_, n) => ['', `edge-${n}`, `é${n}`, `${'\u{1f600}'.repeat(n % 9)}${n}`][n % 4] ?? '',
  )
  const partitions = keys.map(key => partitionOf(key, PARTITIONS))
  const find = () => cache.find(keys.map(key => ({ key })))
  expect(find()).toEqual(partitions.map(partition => ~partition))
  for (const key of keys) if (key !== 'edge-5') add(key)
  expect(find()).toEqual(partitions.map((partition, n) => (keys[n] === 'edge-5' ? ~partition : partition)))
})

test('forgets the keys of one partition only, and learns them again', () => {
  const { cache, add, has } = cacheOf(10_000)
  const keys = Array.from({ length: 500 }, (_, n) => `edge-${n}/é${n}`)
  keys.forEach(add)
  cache.forget(3)
  for (const key of keys) expect(has(key)).toBe(partitionOf(key, PARTITIONS) !== 3)
  keys.forEach(add)
  expect(keys.every(has)).toBe(true)
})

test('holds nearly all of as many keys as the deployment may have, and never more', () => {
  const { add, has } = cacheOf(4096)
  const keys = Array.from({ length: 40_000 }, (_, n) => `edge-${n}/rps`)
  keys.slice(0, 2048).forEach(add)
  expect(keys.slice(0, 2048).filter(has).length).toBeGreaterThan(1900)
  keys.forEach(add)
  expect(keys.filter(has).length).toBeLessThanOrEqual(4096)
  expect(has(keys.at(-1) ?? '')).toBe(true)
})
