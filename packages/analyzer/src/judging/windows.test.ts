import assert from 'node:assert/strict'
import { createHistory } from '@tidemark/shared/detection/detectors/detector'
import { type Summary, summarize } from '@tidemark/shared/detection/detectors/summary'
import { COUNT, pushSample, readHistory, rowShape } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import { createPolicy, type Policy } from '@tidemark/shared/detection/rules/policy'
import { NO_POLICY, RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { decodeWindow, type StoredWindow } from '@tidemark/shared/detection/window-row'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { updateWindow } from '@tidemark/testkit/stored-window'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RowMemory, type Slot } from './row-memory.ts'
import { Windows } from './windows.ts'

const CAPACITY = 5
const SHAPE = rowShape(CAPACITY, 'zscore', false)

function newWindows(keysMax = 1000, memory = new RowMemory({ bytesMax: Number.POSITIVE_INFINITY })): Windows {
  return new Windows({ memory, keysMax })
}

/** Adds a sample; the oldest leaves a full window. */
function push(windows: Windows, slot: Slot, value: number, timestamp: number): void {
  const row = windows.row(slot)
  row.rows[row.start + COUNT] = (row.rows[row.start + COUNT] as number) + 1
  pushSample(row, value, timestamp)
}

function summaryOf(windows: Windows, slot: Slot): Summary & { size: number } {
  const history = createHistory()
  readHistory(windows.row(slot), history)
  const summary = { mean: 0, rest: 0, deviation: 0 }
  summarize(history, summary)
  return { ...summary, size: history.size }
}

/** Returns the window in the store after an update. */
function stored(windows: Windows, slot: number, before: StoredWindow | null = null): StoredWindow {
  return updateWindow(before, windows.encodeUpdate(slot))
}

function contentOf(windows: Windows, slot: number) {
  const content = decodeWindow(stored(windows, slot))
  assert(content !== undefined)
  const { count, values, timestamps } = content
  return { count, values, timestamps }
}

describe('windows', () => {
  test('find the policy of a key again for other rules, whatever their version', () => {
    const windows = newWindows()
    const slot = windows.load('k', null, SHAPE)
    const changed = { who: 'ada', why: 'test', at: 1 }
    const rulesOf = (pattern: string): RuleSet => new RuleSet(withRule(EMPTY_DOCUMENT, { id: 'r', pattern }, changed))
    const [one, other] = [rulesOf('k'), rulesOf('other')]
    expect(one.version).toBe(other.version)
    expect(windows.hasPolicy(slot, one)).toBe(false)
    expect(windows.policyOf(slot, one, false)).toBe(1)
    expect([windows.hasPolicy(slot, one), windows.hasPolicy(slot, other)]).toEqual([true, false])
    expect(windows.policyOf(slot, other, false)).toBe(0)
    expect(windows.policyOf(slot, one, false)).toBe(1)
  })

  test('keep the newest samples of a key, oldest first', () => {
    const windows = newWindows()
    const slot = windows.load('k', null, SHAPE)
    for (let i = 0; i < 12; i++) push(windows, slot, i, 100 + i)
    expect(contentOf(windows, slot)).toEqual({
      count: 12,
      values: [7, 8, 9, 10, 11],
      timestamps: [107, 108, 109, 110, 111],
    })
    expect(summaryOf(windows, slot).size).toBe(CAPACITY)
  })

  test('are the same after a reload', () => {
    const value = fc.double({ noNaN: true, min: -1e6, max: 1e6 })
    fc.assert(
      fc.property(fc.array(value, { maxLength: 20 }), fc.array(value, { maxLength: 20 }), (before, after) => {
        const one = newWindows()
        const slot = one.load('k', null, SHAPE)
        for (const value of before) push(one, slot, value, 1)
        const other = newWindows()
        const reloaded = other.load('k', stored(one, slot), SHAPE)
        for (const value of after) {
          push(one, slot, value, 2)
          push(other, reloaded, value, 2)
          expect(summaryOf(other, reloaded)).toEqual(summaryOf(one, slot))
        }
      }),
    )
  })

  test('are equal in store and memory, whenever they are written, reloaded and resized', () => {
    const step = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({ kind: fc.constant('push' as const), many: fc.integer({ min: 1, max: 24 }) }),
      },
      { weight: 2, arbitrary: fc.constant({ kind: 'reload' as const, many: 0 }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('resize' as const), many: fc.integer({ min: 2, max: 40 }) }),
      },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        let capacity = 20
        let windows = newWindows()
        let slot = windows.load('k', null, rowShape(capacity, 'zscore', false))
        let inStore: StoredWindow | null = null
        let expected: number[] = []
        let count = 0
        for (const { kind, many } of steps) {
          if (kind === 'push') {
            for (let i = 0; i < many; i++) push(windows, slot, ++count, 1000 + count)
            expected = [...expected, ...Array.from({ length: many }, (_, i) => count - many + 1 + i)].slice(-capacity)
            inStore = stored(windows, slot, inStore)
          } else {
            if (kind === 'resize') capacity = many
            windows = newWindows()
            slot = windows.load('k', inStore, rowShape(capacity, 'zscore', false))
            windows.adopt(slot, createPolicy({ window: capacity }, VERDICT_DEFAULTS))
            expected = expected.slice(-capacity)
            if (kind === 'resize' && count > 0) inStore = stored(windows, slot, inStore)
          }
          if (inStore === null) continue
          const timestamps = expected.map(value => 1000 + value)
          expect(decodeWindow(inStore)).toMatchObject({ count, values: expected, timestamps })
        }
      }),
    )
  })

  test('hold nothing of a spike, bit by bit, once it has left', () => {
    for (const spike of [1e15, 1e100, 1e300, -1e300]) {
      const [spiked, calm] = [newWindows(), newWindows()]
      const [a, b] = [spiked.load('k', null, SHAPE), calm.load('k', null, SHAPE)]
      push(spiked, a, spike, 0)
      for (let i = 0; i < CAPACITY; i++) {
        push(spiked, a, 20 + Math.sin(i), i)
        push(calm, b, 20 + Math.sin(i), i)
      }
      expect(summaryOf(spiked, a)).toEqual(summaryOf(calm, b))
    }
  })

  test('take the newest samples of a larger window', () => {
    const windows = newWindows()
    const slot = windows.load('k', null, rowShape(10, 'zscore', false))
    for (let i = 0; i < 13; i++) push(windows, slot, i, i)
    windows.adopt(slot, createPolicy({ window: CAPACITY }, VERDICT_DEFAULTS))
    expect(contentOf(windows, slot)).toMatchObject({
      count: 13,
      values: [8, 9, 10, 11, 12],
    })
  })

  test('start empty, and are counted, where Redis holds something else', () => {
    const windows = newWindows()
    const slot = windows.load('k', { row: new Uint8Array([1, 2, 3]), tail: null }, SHAPE)
    expect(contentOf(windows, slot).count).toBe(0)
    expect(windows.unreadableCount).toBe(1)
  })

  test('that started empty keep the samples since, whatever old tail is stored', () => {
    const tail = new Uint8Array(Float64Array.of(1000, 1000, CAPACITY * 2 ** 32, 7, 7).buffer)
    const windows = newWindows()
    const slot = windows.load('k', { row: new Uint8Array([1, 2, 3]), tail }, SHAPE)
    for (let i = 0; i < 3; i++) push(windows, slot, i, i)
    const { row } = stored(windows, slot)
    const reloaded = newWindows()
    const again = reloaded.load('k', { row, tail }, SHAPE)
    expect(reloaded.unreadableCount).toBe(0)
    expect(contentOf(reloaded, again)).toEqual({ count: 3, values: [0, 1, 2], timestamps: [0, 1, 2] })
  })

  test('keep at most `keysMax` keys, the most recently used ones', () => {
    const windows = newWindows(300)
    for (let i = 0; i < 1000; i++) {
      push(windows, windows.load(`k${i}`, null, SHAPE), i, i)
      windows.use('k0')
      windows.evict()
      expect(windows.keyCount).toBeLessThanOrEqual(300)
    }
    expect(windows.use('k0')).toBeDefined()
    expect(windows.use('k1')).toBeUndefined()
    const kept = windows.use('k999')
    expect(kept !== undefined && contentOf(windows, kept).values).toEqual([999])
  })

  test('reuse a free slot without the content of its former key', () => {
    const windows = newWindows(1)
    const first = windows.load('a', null, SHAPE)
    for (let i = 0; i < 9; i++) push(windows, first, i, i)
    windows.load('b', null, SHAPE)
    windows.evict()
    windows.evict()
    const again = windows.load('c', null, SHAPE)
    expect(contentOf(windows, again)).toEqual({ count: 0, values: [], timestamps: [] })
  })

  test('reshape a key for its rule when the rules change, and only then', () => {
    const change = { who: 'ada', why: 'test', at: 0 }
    const rules = new RuleSet(withRule(EMPTY_DOCUMENT, { id: 'wide', pattern: 'k*', window: 100 }, change))
    const tried = new RuleSet(
      withRule(
        withRule(EMPTY_DOCUMENT, { id: 'wide', pattern: 'k*', window: 100 }, change),
        { id: 'try', pattern: 'k1', detector: 'ewma', shadow: true },
        change,
      ),
    )
    const windows = newWindows()
    const slot = windows.load('k1', null, SHAPE)
    for (let i = 0; i < 12; i++) push(windows, slot, i, i)
    expect(windows.policyOf(slot, rules, false)).toBe(1)
    expect(windows.shadowOf(slot)).toBe(NO_POLICY)
    expect(windows.row(slot).shape.capacity).toBe(100)
    expect(contentOf(windows, slot)).toMatchObject({ count: 12, values: [7, 8, 9, 10, 11] })
    expect(windows.policyOf(slot, tried, false)).toBe(1)
    expect(windows.shadowOf(slot)).toBe(2)
    expect(windows.row(slot).shape.capacity).toBe(100)
    expect(windows.policyOf(windows.load('other', null, SHAPE), tried, false)).toBe(0)
  })

  test('drop a key whose row in memory is outdated', () => {
    const windows = newWindows()
    windows.load('k', null, SHAPE)
    windows.drop('k')
    windows.drop('never seen')
    expect(windows.use('k')).toBeUndefined()
    expect(windows.keyCount).toBe(0)
  })

  test('never give a key the row of another one, whatever shapes they have', () => {
    const shapes = [5, 6, 50].map(capacity => createPolicy({ window: capacity }, VERDICT_DEFAULTS))
    const step = fc.record({
      key: fc.constantFrom('a', 'b', 'c'),
      shape: fc.nat(2),
      value: fc.integer(),
      drops: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const windows = newWindows()
        const last = new Map<string, number>()
        for (const { key, shape, value, drops } of steps) {
          if (drops) {
            windows.drop(key)
            last.delete(key)
            continue
          }
          const slot = windows.use(key) ?? windows.load(key, null, SHAPE)
          windows.adopt(slot, shapes[shape] as Policy)
          push(windows, slot, value, 1)
          last.set(key, value)
          for (const [known, newest] of last) {
            const other = windows.use(known) as Slot
            windows.requireRow(other)
            expect(contentOf(windows, other).values.at(-1)).toBe(newest)
          }
        }
      }),
    )
  })
})
