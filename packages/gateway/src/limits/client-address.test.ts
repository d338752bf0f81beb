import { describe, expect, test } from 'vitest'
import { clientAddress, limitedAddress, parseTrustedProxies, type TrustedProxies } from './client-address.ts'

function trusted(text: string): TrustedProxies {
  const parsed = parseTrustedProxies(text)
  if (parsed === undefined) throw new Error(`not read: ${text}`)
  return parsed
}

describe("a client's address", () => {
  test.each([
    ['one proxy', '1', '9.9.9.9'],
    ['two proxies', '2', '8.8.8.8'],
    ['more proxies than entries: the first entry', '7', '6.6.6.6'],
    ['none', '0', '10.0.0.1'],
    ['the peer is a proxy', '10.0.0.0/8', '9.9.9.9'],
    ['several proxies', '10.0.0.0/8, 9.9.9.9,8.8.8.0/24', '6.6.6.6'],
    ['the peer is not a proxy', '192.168.0.0/16', '10.0.0.1'],
  ])('is read from the end of X-Forwarded-For: %s', (_, proxies, expected) => {
    expect(clientAddress('10.0.0.1', '6.6.6.6, 8.8.8.8, 9.9.9.9', trusted(proxies))).toBe(expected)
  })

  test('is that of the last proxy where the header is missing or has no address', () => {
    expect(clientAddress('10.0.0.1', undefined, trusted('1'))).toBe('10.0.0.1')
    expect(clientAddress('10.0.0.1', 'unknown', trusted('1'))).toBe('10.0.0.1')
    expect(clientAddress('10.0.0.1', 'evil"\n, 10.0.0.2', trusted('10.0.0.0/8'))).toBe('10.0.0.2')
  })

  test('is read with a port and as IPv6', () => {
    expect(clientAddress('10.0.0.1', '9.9.9.9:4711', trusted('1'))).toBe('9.9.9.9')
    expect(clientAddress('10.0.0.1', '[2001:db8::1]:443', trusted('1'))).toBe('2001:db8::1')
    expect(clientAddress('fd00::1', '2001:db8::1, ::ffff:10.1.1.1', trusted('fd00::/8,10.0.0.0/8'))).toBe('2001:db8::1')
  })
})

test.each(['', 'a', '1.2.3', '10.0.0.0/33', '::1/129', '10.0.0.0/8/8', '1,10.0.0.0/x', '-1', '100'])(
  'TRUSTED_PROXIES %j is refused',
  text => expect(parseTrustedProxies(text)).toBeUndefined(),
)

test('IPv6 addresses are limited as their /64 network, others as they are', () => {
  expect(limitedAddress('10.0.0.1')).toBe('10.0.0.1')
  expect(limitedAddress('')).toBe('')
  expect(limitedAddress('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64')
  expect(limitedAddress('2001:0db8:1:2::9')).toBe('2001:db8:1:2::/64')
  expect(limitedAddress('2001:db8::1')).toBe('2001:db8:0:0::/64')
  expect(limitedAddress('fe80::1%eth0')).toBe('fe80:0:0:0::/64')
  expect(limitedAddress('::1')).toBe('0:0:0:0::/64')
})
