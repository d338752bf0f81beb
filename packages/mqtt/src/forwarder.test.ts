import { describe, expect, test, vi } from 'vitest'
import { Forwarder } from './forwarder.ts'
import type { Sample } from './gateway.ts'

const samples = (...values: number[]): Sample[] => values.map(value => ({ key: 'k', value }))

/** A gateway whose requests the test ends. */
function create(samplesMax = 3, backlogMax = 100) {
  const sent: number[][] = []
  const ends: (() => void)[] = []
  const forwarder = new Forwarder({
    samplesMax,
    backlogMax,
    send(batch) {
      sent.push(batch.map(({ value }) => value))
      return new Promise(resolve => ends.push(resolve))
    },
  })
  const settled: string[] = []
  const offer = (name: string, values: number[], hasRoom: () => void = () => {}) =>
    forwarder.offer({ samples: samples(...values), settle: () => void settled.push(name) }, hasRoom)
  return { forwarder, sent, ends, settled, offer }
}

describe('the forwarder', () => {
  test('sends what arrived meanwhile together, in order, and settles it afterwards', async () => {
    const { sent, ends, settled, offer } = create()
    offer('a', [1])
    await vi.waitFor(() => expect(sent).toEqual([[1]]))
    offer('b', [2])
    offer('c', [3, 4])
    offer('d', [5])
    expect(settled).toEqual([])
    ends[0]?.()
    await vi.waitFor(() => expect(sent).toEqual([[1], [2, 3, 4]]))
    expect(settled).toEqual(['a'])
    ends[1]?.()
    await vi.waitFor(() => expect(sent).toHaveLength(3))
    expect(settled).toEqual(['a', 'b', 'c'])
  })

  test('sends a message with more samples than fit into a request alone', async () => {
    const { sent, offer } = create()
    offer('a', [1, 2, 3, 4])
    await vi.waitFor(() => expect(sent).toEqual([[1, 2, 3, 4]]))
  })

  test('settles messages without samples in their order, without a request', async () => {
    const { sent, ends, settled, offer } = create()
    offer('a', [])
    await vi.waitFor(() => expect(settled).toEqual(['a']))
    offer('b', [1])
    offer('c', [])
    await vi.waitFor(() => expect(sent).toEqual([[1]]))
    expect(settled).toEqual(['a'])
    ends[0]?.()
    await vi.waitFor(() => expect(settled).toEqual(['a', 'b', 'c']))
  })

  test('reads no more messages while the backlog is full', async () => {
    const { sent, ends, offer } = create(10, 2)
    const room = vi.fn()
    offer('a', [1], room)
    expect(room).toHaveBeenCalledTimes(1)
    offer('b', [2], room)
    expect(room).toHaveBeenCalledTimes(1)
    await vi.waitFor(() => expect(sent).toHaveLength(1))
    ends[0]?.()
    await vi.waitFor(() => expect(room).toHaveBeenCalledTimes(2))
  })

  test('settles nothing that waits when it stops', async () => {
    const { forwarder, sent, ends, settled, offer } = create()
    offer('a', [1])
    await vi.waitFor(() => expect(sent).toHaveLength(1))
    offer('b', [2])
    const stopped = forwarder.stop()
    ends[0]?.()
    await stopped
    expect(settled).toEqual(['a'])
    expect(sent).toEqual([[1]])
  })
})
