import { createHistory } from '@tidemark/shared/detection/detectors/detector'
import { COUNT, pushSample, readHistory, rowShape } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import { createPolicy, type Policy } from '@tidemark/shared/detection/rules/policy'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keyBytesMax } from './analyse.ts'
import { RowMemory, rowBytes, type Slot } from './row-memory.ts'
import { Windows } from './windows.ts'

const MIB = 1024 * 1024
const CHANGE = { who: 'ada', why: 'test', at: 0 }
const SHAPE = rowShape(50, 'zscore', false)

function policyOf(window: number): Policy {
  return createPolicy({ window }, VERDICT_DEFAULTS)
}

function partitionsOf(memory: RowMemory, count: number): Windows[] {
  return Array.from({ length: count }, () => new Windows({ memory, keysMax: Number.POSITIVE_INFINITY }))
}

/** Lets every partition evict, as each does after a commit and once a second. */
function evictAll(partitions: readonly Windows[]): void {
  for (const windows of partitions) windows.evict()
}

/** Uses a key as a sample does: finds it or loads it, and applies its policy. */
function use(windows: Windows, key: string, policy: Policy = policyOf(50)): Slot {
  const slot = windows.use(key) ?? windows.load(key, null, SHAPE)
  windows.adopt(slot, policy)
  return slot
}

describe('the memory of all windows', () => {
  test('stays within its bound, whatever number of partitions and keys there is', () => {
    const memory = new RowMemory({ bytesMax: 4 * MIB })
    const partitions = partitionsOf(memory, 16)
    for (let key = 0; key < 20_000; key++) {
      const windows = partitions[key % 16] as Windows
      use(windows, `k${key}`)
      evictAll(partitions)
      expect(memory.bytes).toBeLessThanOrEqual(4 * MIB)
    }
    // It is used, too.
    expect(memory.bytes).toBeGreaterThan(3.5 * MIB)
    expect(partitions.reduce((sum, { keyCount }) => sum + keyCount, 0)).toBeGreaterThan(2500)
  })

  test('stays within its bound when `window` changes on every key, twice, and frees the old slabs', () => {
    const memory = new RowMemory({ bytesMax: 4 * MIB })
    const partitions = partitionsOf(memory, 4)
    const round = (window: number): void => {
      for (let key = 0; key < 4000; key++) {
        const windows = partitions[key % 4] as Windows
        use(windows, `k${key}`, policyOf(window))
        evictAll(partitions)
        expect(memory.bytes).toBeLessThanOrEqual(4 * MIB)
      }
    }
    round(50)
    const before = memory.bytes
    round(500)
    expect(partitions.reduce((sum, { keyCount }) => sum + keyCount, 0)).toBeLessThanOrEqual(510)
    round(20)
    round(50)
    round(50)
    expect(Math.abs(memory.bytes - before)).toBeLessThan(MIB / 4)
  })

  test('frees the slabs of a shape as soon as no key has it, without an eviction', () => {
    const memory = new RowMemory({ bytesMax: Number.POSITIVE_INFINITY })
    const [windows] = partitionsOf(memory, 1) as [Windows]
    for (let key = 0; key < 5000; key++) use(windows, `k${key}`)
    const before = memory.bytes
    for (let key = 0; key < 5000; key++) use(windows, `k${key}`, policyOf(500))
    expect(memory.bytes).toBeGreaterThan(5000 * rowBytes(rowShape(500, 'zscore', false)))
    // In another order than they came.
    for (let key = 4999; key >= 0; key--) use(windows, `k${(key * 7919) % 5000}`)
    expect(memory.bytes).toBe(before)
    windows.clear()
    expect(memory.bytes).toBe(0)
  })

  test('keeps a few empty slabs of a shape in use, and no more', () => {
    const memory = new RowMemory({ bytesMax: 8 * MIB })
    const [windows] = partitionsOf(memory, 1) as [Windows]
    for (let key = 0; key < 4000; key++) use(windows, `k${key}`)
    const full = memory.bytes
    for (let key = 0; key < 100; key++) windows.drop(`k${key}`)
    // Only what the keys themselves take.
    expect(full - memory.bytes).toBeLessThan(100 * 250)
    for (let key = 100; key < 3990; key++) windows.drop(`k${key}`)
    expect(memory.bytes).toBeLessThan(8 * MIB * 0.05)
  })

  test('stays within its bound with a shape for each of 400 rules in each of 16 partitions', () => {
    const memory = new RowMemory({ bytesMax: 40 * MIB })
    const partitions = partitionsOf(memory, 16)
    for (let key = 0; key < 40_000; key++) {
      const windows = partitions[key % 16] as Windows
      use(windows, `k${key}`, policyOf(50 + ((key >> 4) % 400)))
      evictAll(partitions)
      expect(memory.bytes).toBeLessThanOrEqual(40 * MIB)
    }
    expect(partitions.every(({ keyCount }) => keyCount > 50)).toBe(true)
  })

  test('a partition may use what the others leave, until they need their share', () => {
    const memory = new RowMemory({ bytesMax: 2 * MIB })
    const [busy, late] = partitionsOf(memory, 2) as [Windows, Windows]
    for (let key = 0; key < 5000; key++) use(busy, `b${key}`)
    busy.evict()
    const alone = busy.keyCount
    expect(alone * keyBytesMax(new RuleSet(EMPTY_DOCUMENT))).toBeGreaterThan(1.8 * MIB)
    for (let key = 0; key < 5000; key++) {
      use(late, `l${key}`)
      if (key % 100 !== 99) continue
      late.evict()
      busy.evict()
    }
    expect(memory.bytes).toBeLessThanOrEqual(2 * MIB)
    expect(Math.abs(busy.keyCount - late.keyCount)).toBeLessThan(alone / 10)
    late[Symbol.dispose]()
    for (let key = 0; key < 5000; key++) use(busy, `b${key}`)
    busy.evict()
    expect(busy.keyCount).toBeGreaterThan(0.95 * alone)
  })

  test('never confuses the rows of partitions, whatever is loaded, reshaped, evicted and dropped', () => {
    const step = fc.record({
      partition: fc.nat(2),
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      window: fc.constantFrom(5, 6, 50, 500),
      does: fc.constantFrom('push', 'push', 'push', 'drop', 'clear', 'evict'),
      value: fc.integer(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), steps => {
        const memory = new RowMemory({ bytesMax: 9000 })
        const partitions = partitionsOf(memory, 3)
        const last = new Map<string, number>()
        for (const { partition, key, window, does, value } of steps) {
          const windows = partitions[partition] as Windows
          if (does === 'drop') windows.drop(key)
          else if (does === 'clear') windows.clear()
          else if (does === 'evict') windows.evict()
          else {
            const row = windows.row(use(windows, key, policyOf(window)))
            row.rows[row.start + COUNT] = (row.rows[row.start + COUNT] as number) + 1
            pushSample(row, value, 1)
            last.set(`${partition}/${key}`, value)
          }
          for (const [place, newest] of last) {
            const [owner = '', known = ''] = place.split('/')
            const slot = (partitions[Number(owner)] as Windows).use(known)
            // It was evicted, dropped or cleared.
            if (slot === undefined) last.delete(place)
            else expect(newestOf(partitions[Number(owner)] as Windows, slot)).toBe(newest)
          }
        }
        for (const windows of partitions) windows[Symbol.dispose]()
        expect(memory.bytes).toBe(0)
      }),
    )
  })

  test('the bytes of a key by rules are those of their largest window, twice with shadow rules', () => {
    const wide = withRule(EMPTY_DOCUMENT, { id: 'wide', pattern: 'k*', window: 500 }, CHANGE)
    const shadowed = withRule(wide, { id: 'try', pattern: 'k1', detector: 'ewma', shadow: true }, CHANGE)
    const own = keyBytesMax(new RuleSet(wide))
    expect(own).toBeGreaterThan(rowBytes(rowShape(500, 'zscore', false)))
    expect(keyBytesMax(new RuleSet(shadowed))).toBe(2 * own)
    expect(keyBytesMax(new RuleSet(EMPTY_DOCUMENT))).toBeLessThan(1500)
  })
})

function newestOf(windows: Windows, slot: Slot): number {
  const history = createHistory()
  readHistory(windows.row(slot), history)
  const { rows, start, size, head } = history
  return rows[start + ((head + size - 1) % size)] as number
}
