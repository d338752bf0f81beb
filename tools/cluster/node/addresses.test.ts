import { expect, test } from 'vitest'
import { Addresses, loopbackOf } from './addresses.ts'

test('each pod listens on loopback, and is known by an address that the API server accepts', () => {
  const addresses = new Addresses()
  const first = addresses.ofPod('highload', 'a')
  const second = addresses.ofPod('highload', 'b')
  expect(first).toEqual({ loopback: '127.77.0.1', reported: '198.51.100.1' })
  expect(second.loopback).not.toBe(first.loopback)
  expect(addresses.ofPod('highload', 'a')).toEqual(first)
  expect(loopbackOf(second.reported)).toBe(second.loopback)
  expect(loopbackOf('10.0.0.1')).toBeUndefined()
})

test('an address is used again only after all others', () => {
  const addresses = new Addresses()
  const first = addresses.ofPod('n', 'a')
  addresses.releasePod('n', 'a')
  expect(addresses.ofPod('n', 'b')).not.toEqual(first)
  for (let i = 0; i < 253; i++) addresses.ofPod('n', `pod-${i}`)
  expect(() => addresses.ofPod('n', 'one more')).toThrow('more than 254 addresses')
})

test('names resolve as in the cluster', () => {
  const addresses = new Addresses()
  const { loopback } = addresses.addService({ namespace: 'highload', name: 'gateway', isHeadless: false })
  for (const name of ['gateway', 'gateway.highload', 'gateway.highload.svc', 'gateway.highload.svc.cluster.local']) {
    expect(addresses.resolve(name, 'highload')).toBe(loopback)
  }
  expect(addresses.resolve('gateway', 'other')).toBeUndefined()
  expect(addresses.resolve('gateway.highload.svc', 'other')).toBe(loopback)
  expect(addresses.resolve('example.com', 'highload')).toBeUndefined()
})

test('a headless Service resolves to the pod of its StatefulSet, before and after the pod starts', () => {
  const addresses = new Addresses()
  addresses.addService({ namespace: 'highload', name: 'redis', isHeadless: true })
  const resolved = addresses.resolve('redis', 'highload')
  expect(addresses.ofPod('highload', 'redis-0', 'redis').loopback).toBe(resolved)
  expect(addresses.resolve('redis-0.redis', 'highload')).toBe(resolved)
  addresses.releasePod('highload', 'redis-0')
  expect(addresses.ofPod('highload', 'redis-0', 'redis').loopback).toBe(resolved)
})
