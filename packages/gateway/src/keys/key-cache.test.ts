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

test('keys of repeated patterns with the same CRC-32 do not pass for each other', () => {
  // Exchanged, these two often have the same polynomial hash, whatever its multiplier.
  const [pattern, other] = ['@``@`@@``@@`@``@', '`@@`@``@@``@`@@`'] as const
  const slots = 40
  const keyWith = (flipped: bigint) =>
    Array.from({ length: slots }, (_, i) => ((flipped >> BigInt(i)) & 1n ? other : pattern)).join('')
  const crcOf = (flipped: bigint) => BigInt(partitionOf(keyWith(flipped), 2 ** 32))
  // CRC-32 is linear: exchanges whose differences cancel out are found by elimination.
  const rows: { crc: bigint; flipped: bigint }[] = []
  const equal = new Set<bigint>()
  for (let i = 0n; i < slots; i++) {
    let row = { crc: crcOf(0n) ^ crcOf(1n << i), flipped: 1n << i }
    for (const one of rows) {
      if ((row.crc ^ one.crc) < row.crc) row = { crc: row.crc ^ one.crc, flipped: row.flipped ^ one.flipped }
    }
    if (row.crc === 0n) equal.add(row.flipped)
    else rows.push(row)
  }
  expect(equal.size).toBeGreaterThan(2)
  const others = [...equal].map(keyWith)
  for (const key of others) expect(partitionOf(key, 2 ** 32)).toBe(partitionOf(keyWith(0n), 2 ** 32))
  const confused = Array.from({ length: 300 }, () => {
    const { add, has } = cacheOf(1000)
    add(keyWith(0n))
    return others.filter(has).length
  })
  expect(confused.filter(count => count > 0)).toEqual([])
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
