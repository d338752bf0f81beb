import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { LayoutMismatch, StoreError } from '@tidemark/shared/store/ports/errors'
import type { Store } from '@tidemark/shared/store/ports/store'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { linkStore, type StoreLink } from './store-link.ts'

const UNAVAILABLE = new StoreError('unavailable', { kind: 'refused' })

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function link(
  openStore: () => Promise<Store | undefined>,
  onOpen = (): AsyncDisposable | undefined => undefined,
): StoreLink {
  return linkStore({ openStore, log: pino({ level: 'silent' }), timeoutMs: 500, onOpen })
}

/** A store whose pings the test controls. */
function createPinged(control: { ping: () => Promise<number> }): Store {
  const store = createMemoryStore()
  return { ...store, gateway: { ...store.gateway, ping: () => control.ping() } }
}

test('two failed pings in a row are an outage, one is not, and one success ends it', async () => {
  const control = { ping: async () => 0 }
  await using linked = link(async () => createPinged(control))
  await vi.advanceTimersByTimeAsync(0)
  expect(linked.fault).toBeUndefined()

  control.ping = () => Promise.reject(UNAVAILABLE)
  await vi.advanceTimersByTimeAsync(1000)
  expect(linked.fault).toBeUndefined()
  control.ping = async () => 0
  await vi.advanceTimersByTimeAsync(1000)
  control.ping = () => Promise.reject(UNAVAILABLE)
  await vi.advanceTimersByTimeAsync(1000)
  expect(linked.fault).toBeUndefined()
  await vi.advanceTimersByTimeAsync(1000)
  expect(linked.fault).toBe('the store does not respond')

  control.ping = async () => 0
  await vi.advanceTimersByTimeAsync(1000)
  expect(linked.fault).toBeUndefined()
})

test('a ping fails at the timeout', async () => {
  await using linked = link(async () => createPinged({ ping: () => new Promise(() => {}) }))
  // Pings begin at each full second of the process.
  await vi.advanceTimersByTimeAsync(1000 + 499)
  expect(linked.fault).toBeUndefined()
  await vi.advanceTimersByTimeAsync(1)
  expect(linked.fault).toBe('the store does not respond')
})

test('until the store is open there is a fault and onOpen is not called', async () => {
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

test('a store that can never be opened rejects `failed`', async () => {
  await using linked = link(() => Promise.reject(new LayoutMismatch('another layout')))
  await expect(linked.failed).rejects.toThrow('another layout')
  expect(linked.fault).toBe('the store cannot be used')
})

test('a store that opens after the stop is closed, and nothing starts to use it', async () => {
  const { promise, resolve } = Promise.withResolvers<Store>()
  const onOpen = vi.fn()
  const close = vi.fn(async () => {})
  const linked = link(() => promise, onOpen)
  const closed = linked[Symbol.asyncDispose]()
  resolve({ ...createMemoryStore(), [Symbol.asyncDispose]: close })
  await closed
  expect([onOpen.mock.calls.length, close.mock.calls.length]).toEqual([0, 1])
})

test('what uses the store is disposed of before it', async () => {
  const disposed: string[] = []
  const disposable = (name: string) => ({ [Symbol.asyncDispose]: async () => void disposed.push(name) })
  const linked = link(
    async () => ({ ...createMemoryStore(), ...disposable('store') }),
    () => disposable('user'),
  )
  await vi.advanceTimersByTimeAsync(0)
  await linked[Symbol.asyncDispose]()
  expect(disposed).toEqual(['user', 'store'])
})

test('the link closes the store that it opened', async () => {
  const close = vi.fn(async () => {})
  const linked = link(async () => ({ ...createMemoryStore(), [Symbol.asyncDispose]: close }))
  await vi.advanceTimersByTimeAsync(0)
  await linked[Symbol.asyncDispose]()
  expect(close).toHaveBeenCalledOnce()
})
