import { expect, test } from 'vitest'
import { RunLimit } from './run-limit.ts'

/** Enters a run and returns its permit as soon as it has one. */
function enter(limit: RunLimit, bytes: number) {
  const run = { permit: undefined as Disposable | undefined }
  void limit.enter(bytes).then(permit => {
    run.permit = permit
  })
  return run
}

const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('runs enter while their bytes are within the limit, the others in their order', async () => {
  const limit = new RunLimit({ bytesMax: 10 })
  const runs = [6, 4, 1, 9, 1].map(bytes => enter(limit, bytes))
  const entered = async (): Promise<number[]> => {
    await settled()
    return runs.flatMap(({ permit }, i) => (permit === undefined ? [] : [i]))
  }
  expect(await entered()).toEqual([0, 1])
  runs[1]?.permit?.[Symbol.dispose]()
  // 9 bytes have no room; the byte behind them waits too, or large runs could wait for ever.
  expect(await entered()).toEqual([0, 1, 2])
  runs[0]?.permit?.[Symbol.dispose]()
  expect(await entered()).toEqual([0, 1, 2, 3])
  runs[2]?.permit?.[Symbol.dispose]()
  expect(await entered()).toEqual([0, 1, 2, 3, 4])
})

test('a run that is larger than the limit enters alone', async () => {
  const limit = new RunLimit({ bytesMax: 10 })
  const small = enter(limit, 1)
  const large = enter(limit, 50)
  const next = enter(limit, 1)
  await settled()
  expect([small, large, next].map(({ permit }) => permit !== undefined)).toEqual([true, false, false])
  small.permit?.[Symbol.dispose]()
  await settled()
  expect([large, next].map(({ permit }) => permit !== undefined)).toEqual([true, false])
  large.permit?.[Symbol.dispose]()
  await settled()
  expect(next.permit).toBeDefined()
})

test('a permit that is given back twice counts once', async () => {
  const limit = new RunLimit({ bytesMax: 10 })
  const first = await limit.enter(6)
  await limit.enter(4)
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  const fits = enter(limit, 6)
  const waits = enter(limit, 1)
  await settled()
  expect([fits, waits].map(({ permit }) => permit !== undefined)).toEqual([true, false])
})
