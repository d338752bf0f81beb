import { expect, test } from 'vitest'
import { BodyBudget, PendingBody } from './pending-body.ts'
import { RequestFault } from './problem.ts'

function createBodies(bytesInFlightMax: number) {
  const budget = new BodyBudget(bytesInFlightMax)
  return (bytesDeclared: number | undefined, share = { used: 0 }) =>
    new PendingBody({ bytesMax: 1000, bytesDeclared, budget, share })
}

test('beyond the limit the oldest incomplete body of the heaviest client is given up', () => {
  const bodyOf = createBodies(100)
  const heavy = { used: 0 }
  const evicted: string[] = []
  for (const name of ['first', 'second']) {
    const body = bodyOf(undefined, heavy)
    body.onEvict(() => evicted.push(name))
    body.add(Buffer.alloc(40))
  }
  bodyOf(30).add(Buffer.alloc(30))
  expect(evicted).toEqual(['first'])
})

test('a complete body is given up itself where nothing else is left to give up', () => {
  const share = { used: 0 }
  const body = createBodies(100)(200, share)
  expect(() => body.add(Buffer.alloc(200))).toThrow(RequestFault)
  expect(share.used).toBe(0)
})

test('the bytes of a complete body count until it is released', () => {
  const bodyOf = createBodies(100)
  const evicted: string[] = []
  const slow = bodyOf(undefined)
  slow.onEvict(() => evicted.push('slow'))
  slow.add(Buffer.alloc(60))
  for (let n = 0; n < 3; n++) {
    const quick = bodyOf(40)
    quick.add(Buffer.alloc(40))
    expect(quick.bytes()).toHaveLength(40)
    quick.release()
  }
  expect(evicted).toEqual([])
  bodyOf(50).add(Buffer.alloc(50))
  expect(evicted).toEqual(['slow'])
})
