import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { LayoutMismatch, type Store, StoreError } from '@tidemark/shared/store/ports/store'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { linkStore, type StoreLink } from './store-link.ts'

const AWAY = new StoreError('away', { kind: 'refused' })

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function link(openStore: () => Promise<Store | undefined>, onOpen = (): void => {}): StoreLink {
  return linkStore({ openStore, log: pino({ level: 'silent' }), timeoutMs: 500, onOpen })
}

/** A store whose pings do what the test says. */
function createPinged(answers: { ping: () => Promise<number> }): Store {
  const store = createMemoryStore()
  return { ...store, gateway: { ...store.gateway, ping: () => answers.ping() } }
}

test('one lost ping is no outage, two are, and one answer ends it', async () => {
  const answers = { ping: async () => 0 }
  await using linked = link(async () => createPinged(answers))
  await vi.advanceTimersByTimeAsync(0)
  expect(linked.fault).toBeUndefined()

  answers.ping = () => Promise.reject(AWAY)
  await vi.advanceTimersByTimeAsync(1000)
  expect(linked.fault).toBeUndefined()
  answers.ping = async () => 0
  await vi.advanceTimersByTimeAsync(1000)
  answers.ping = () => Promise.reject(AWAY)
  await vi.advanceTimersByTimeAsync(1000)
  expect(linked.fault).toBeUndefined()
  await vi.advanceTimersByTimeAsync(1000)
  expect(linked.fault).toBe('the store does not answer')

  answers.ping = async () => 0
  await vi.advanceTimersByTimeAsync(1000)
  expect(linked.fault).toBeUndefined()
})

test('a ping without an answer is lost after the time-out', async () => {
  await using linked = link(async () => createPinged({ ping: () => new Promise(() => {}) }))
  await vi.advanceTimersByTimeAsync(500 + 1000 + 499)
  expect(linked.fault).toBeUndefined()
  await vi.advanceTimersByTimeAsync(1)
  expect(linked.fault).toBe('the store does not answer')
})

test('until the store is open there is a fault, and nobody is told', async () => {
  const { promise, resolve } = Promise.withResolvers<Store>()
  const onOpen = vi.fn()
  await using linked = link(() => promise, onOpen)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(linked.fault).toBe('the store is not open yet')
  expect(onOpen).not.toHaveBeenCalled()
  resolve(createMemoryStore())
  await vi.advanceTimersByTimeAsync(0)
  expect(linked.fault).toBeUndefined()
  expect(onOpen).toHaveBeenCalledOnce()
})

test('a store that can never be opened is told of', async () => {
  await using linked = link(() => Promise.reject(new LayoutMismatch('another layout')))
  await expect(linked.failed).rejects.toThrow('another layout')
  expect(linked.fault).toBe('the store cannot be used')
})

test('the link closes the store that it opened', async () => {
  const close = vi.fn(async () => {})
  const linked = link(async () => ({ ...createMemoryStore(), [Symbol.asyncDispose]: close }))
  await vi.advanceTimersByTimeAsync(0)
  await linked[Symbol.asyncDispose]()
  expect(close).toHaveBeenCalledOnce()
})
