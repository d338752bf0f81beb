import { learnedSamples, setLearnedTo, unlearnedSamples } from '@tidemark/shared/detection/alerts/guard-memory'
import { Judge } from '@tidemark/shared/detection/judge'
import { COUNT, createRow, PUSHED, rowShape, shapeOf } from '@tidemark/shared/detection/key-row'
import { createPolicy, type Policy } from '@tidemark/shared/detection/rules/policy'
import { encodeRow, type StoredWindow, storedLengthMax } from '@tidemark/shared/detection/window-row'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { Random } from '@tidemark/testkit/random'
import { updateWindow } from '@tidemark/testkit/stored-window'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RowMemory, type Slot } from './row-memory.ts'
import { Windows } from './windows.ts'

const BEGIN = 1_700_000_000_000

const GUARDED = createPolicy({}, VERDICT_DEFAULTS)
const LONG = createPolicy({ window: 500, samplesMin: 30 }, VERDICT_DEFAULTS)
const POLICIES: readonly Policy[] = [
  GUARDED,
  createPolicy({ isCounter: true }, VERDICT_DEFAULTS),
  createPolicy({ window: 20, samplesMin: 10 }, VERDICT_DEFAULTS),
  createPolicy({ hygiene: { isHeld: true, levelShiftAfter: 5 } }, VERDICT_DEFAULTS),
  createPolicy({ range: { min: -50, max: 150 } }, VERDICT_DEFAULTS),
  createPolicy({ guard: null }, VERDICT_DEFAULTS),
  createPolicy({ detector: 'habit' }, VERDICT_DEFAULTS),
  createPolicy({ detector: 'step' }, VERDICT_DEFAULTS),
  createPolicy({ detector: 'step', isCounter: true }, VERDICT_DEFAULTS),
]
const judges = new Map([...POLICIES, LONG].map(policy => [policy, new Judge(policy)]))

/** A key in an analyzer that may lose it from memory at any time. */
class KeptKey {
  stored: StoredWindow | null = null
  #policy = GUARDED
  #windows = new Windows({ memory: new RowMemory({ bytesMax: Number.POSITIVE_INFINITY }), keysMax: 10 })
  #slot: Slot = this.#windows.load('k', null, shapeOf(GUARDED))

  /** It applies from the next sample on. */
  set policy(policy: Policy) {
    this.#policy = policy
  }

  step(value: number, n: number, lateMs = 0): unknown[] {
    this.#windows.adopt(this.#slot, this.#policy)
    const time = BEGIN + 1000 * n
    const judged = (judges.get(this.#policy) as Judge).step(this.#windows.row(this.#slot), value, time - lateMs, time)
    if (judged.isShift) this.#windows.requireRow(this.#slot)
    return [judged.score, judged.count, ...judged.alerts]
  }

  commit(): void {
    this.stored = updateWindow(this.stored, this.#windows.encodeUpdate(this.#slot))
  }

  /** Another analyzer loads what was committed last. */
  reload(): void {
    this.#windows = new Windows({ memory: new RowMemory({ bytesMax: Number.POSITIVE_INFINITY }), keysMax: 10 })
    this.#slot = this.#windows.load('k', this.stored, shapeOf(GUARDED))
  }

  /** The samples that the guard's memory has learned, or will have when it is needed. */
  get learned(): number {
    const { slab, rows, start, memoryStart, shape } = this.#windows.row(this.#slot)
    if (shape.memory === 'none') return -1
    return learnedSamples(slab, memoryStart) + unlearnedSamples(slab, memoryStart, rows[start + PUSHED] as number)
  }
}

test('a key goes on identically, whenever another analyzer loads it and whatever rules it has had', () => {
  const action = fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({ kind: fc.constant('samples' as const), many: fc.integer({ min: 1, max: 25 }) }),
    },
    { weight: 3, arbitrary: fc.constant({ kind: 'reload' as const, many: 0 }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('rule' as const), many: fc.nat(POLICIES.length - 1) }) },
  )
  let opened = 0
  fc.assert(
    fc.property(fc.nat(1e6), fc.array(action, { minLength: 10, maxLength: 60 }), (seed, actions) => {
      const random = new Random(seed)
      const [stayed, moved] = [new KeptKey(), new KeptKey()]
      let n = 0
      let level = 0
      for (const { kind, many } of actions) {
        if (kind === 'rule') for (const key of [stayed, moved]) key.policy = POLICIES[many] as Policy
        else if (kind === 'reload') moved.reload()
        for (let i = 0; i < (kind === 'samples' ? many : 0); i++, n++) {
          if (random.uniform() < 0.02) level = 100 * random.uniform()
          const value = level + random.normal() + (random.uniform() < 0.02 ? 200 : 0)
          // A counter keeps late counts out of its window.
          const lateMs = random.uniform() < 0.05 ? 2500 : 0
          const expected = stayed.step(value, n, lateMs)
          opened += expected.length > 2 ? 1 : 0
          expect(moved.step(value, n, lateMs)).toEqual(expected)
        }
        if (kind !== 'samples') continue
        expect(moved.learned).toBe(stayed.learned)
        for (const key of [stayed, moved]) key.commit()
      }
    }),
    { numRuns: 200 },
  )
  expect(opened).toBeGreaterThan(50)
})

test('a key whose window is not full yet keeps its candidates, and when a sum was beyond its limit', () => {
  let opened = 0
  for (let seed = 0; seed < 40; seed++) {
    const random = new Random(seed)
    const [stayed, moved] = [new KeptKey(), new KeptKey()]
    stayed.policy = moved.policy = LONG
    let level = 0
    for (let n = 0; n < 450; n++) {
      if (random.uniform() < 0.02) level += 3 * random.normal()
      const value = level + random.normal()
      const expected = stayed.step(value, n)
      opened += expected.length > 2 ? 1 : 0
      expect(moved.step(value, n), `seed ${seed}, sample ${n}`).toEqual(expected)
      if (n % 7 !== 0) continue
      for (const key of [stayed, moved]) key.commit()
      moved.reload()
    }
  }
  expect(opened).toBeGreaterThan(20)
})

test('a key with more than 2^32 samples goes on', () => {
  const judge = judges.get(GUARDED) as Judge
  const [young, old] = [createRow(shapeOf(GUARDED)), createRow(shapeOf(GUARDED))]
  const random = new Random(3)
  const step = (row: typeof young, value: number, n: number): unknown[] => {
    const time = BEGIN + 3_600_000 * n
    const { score, alerts } = judge.step(row, value, time, time)
    return [score, ...alerts.map(({ kind }) => kind)]
  }
  const valueAt = (n: number): number => random.normal() + (n % 900 === 899 ? n : 0)
  let n = 0
  // The number of samples learned becomes too great for its word after 5,000.
  old.slab.words[2 * old.memoryStart] = 2 ** 32 - 5000
  for (; n < 3000; n++) {
    const value = valueAt(n)
    step(young, value, n)
    step(old, value, n)
  }
  // Whole windows, so that each value keeps its place.
  const added = 50 * Math.floor((2 ** 32 - n) / 50) - 1000
  for (const at of [COUNT, PUSHED]) old.rows[at] = (old.rows[at] as number) + added
  setLearnedTo(old.slab, old.memoryStart, n + added)
  let opened = 0
  for (; n < 7000; n++) {
    const value = valueAt(n)
    const expected = step(young, value, n)
    opened += expected.includes('opened') ? 1 : 0
    expect(step(old, value, n)).toEqual(expected)
  }
  expect(opened).toBeGreaterThan(1)
  expect(old.rows[PUSHED]).toBeGreaterThan(2 ** 32)
  expect(learnedSamples(old.slab, old.memoryStart)).toBeGreaterThan(2 ** 30)
})

test('a row of version 0.1.0 goes on, and its guard begins with the samples in the window', () => {
  const shape = rowShape(50, 'zscore', false)
  const row = createRow(shape)
  const judge = new Judge(createPolicy({ guard: null }, VERDICT_DEFAULTS))
  for (let n = 0; n < 400; n++) judge.step(row, Math.sin(n), BEGIN + n, BEGIN + n)
  const target = new Float64Array(storedLengthMax(shape))
  const end = encodeRow(row, target, 0)
  const key = new KeptKey()
  key.stored = { row: new Uint8Array(target.buffer.slice(0, 8 * end)), tail: null }
  key.reload()
  expect(key.step(Math.sin(400), 400)).toMatchObject([expect.any(Number), 401])
  expect(key.learned).toBe(51)
  key.commit()
  expect(key.stored.memory?.length).toBeGreaterThan(0)
})

/** Reads a row or a tail as version 0.1.0 does; undefined if it cannot. */
function readPairs(
  bytes: Uint8Array,
): { count: number; pushed: number; capacity: number; pairs: number[] } | undefined {
  const at = (i: number): number => new DataView(bytes.buffer, bytes.byteOffset).getFloat64(8 * i, true)
  const word = at(2)
  const [capacity, detector, mask] = [Math.floor(word / 2 ** 32), Math.floor(word / 2 ** 24) % 256, word % 2 ** 23]
  const bits = mask.toString(2).replaceAll('0', '').length
  const length = (bytes.byteLength / 8 - 3 - bits) / 2
  if (detector !== 0 || mask >= 2 ** 18 || !Number.isInteger(length)) return undefined
  return { count: at(0), pushed: at(1), capacity, pairs: Array.from({ length }, (_, i) => at(3 + bits + 2 * i)) }
}

/** Reads a key as version 0.1.0 does: its count and the newest of its values, or undefined. */
function readFirstVersion({ row, tail }: StoredWindow): { count: number; values: number[] } | undefined {
  const base = readPairs(row)
  if (base === undefined || base.pairs.length !== Math.min(base.pushed, base.capacity)) return undefined
  const { pushed, capacity, pairs } = base
  const ring = Array.from({ length: pairs.length }, (_, i) => pairs[(pushed + i) % capacity] as number)
  const values = pushed > capacity ? ring : pairs
  const newer = tail == null ? undefined : readPairs(tail)
  if (newer === undefined || newer.count <= base.count) return { count: base.count, values }
  return { count: newer.count, values: [...values, ...newer.pairs].slice(-capacity) }
}

test.each([
  ['by default', GUARDED],
  ['under a rule with habit', createPolicy({ detector: 'habit' }, VERDICT_DEFAULTS)],
  ['under a rule with step', createPolicy({ detector: 'step' }, VERDICT_DEFAULTS)],
])('version 0.1.0 reads every row and tail, also after alerts and with a candidate: %s', (_, policy) => {
  judges.set(policy, new Judge(policy))
  const random = new Random(5)
  const key = new KeptKey()
  key.policy = policy
  const values: number[] = []
  let alerts = 0
  for (let n = 0; n < 3000; n++) {
    values.push(n % 311 === 310 ? 60 * random.uniform() : random.normal())
    alerts += key.step(values[n] as number, n).length - 2
    key.commit()
    expect(readFirstVersion(key.stored as StoredWindow)).toEqual({ count: n + 1, values: values.slice(-50) })
    if (n % 500 === 499) key.reload()
  }
  expect(alerts).toBeGreaterThan(2)
})

test('a detector that 0.1.0 does not know starts again where that has scored samples since', () => {
  const policy = POLICIES.find(({ detector }) => detector === 'habit') as Policy
  const key = new KeptKey()
  key.policy = policy
  const random = new Random(6)
  let n = 0
  for (; n < 400; n++) {
    key.step(random.normal(), n)
    key.commit()
  }
  const atFirst = key.stored as StoredWindow
  key.reload()
  expect(key.step(0, n)[0]).not.toBeNaN()
  // 0.1.0 scores a sample, and leaves what is beside the row as it was.
  key.commit()
  key.stored = { ...(key.stored as StoredWindow), memory: atFirst.memory ?? null }
  key.reload()
  expect(key.step(0, n + 1)).toEqual([Number.NaN, n + 2])
})
