import { describe, expect, test } from 'vitest'
import { createOriginRules, originOf } from './origin.ts'

const RULES = {
  scheme: 'http',
  publicOrigin: 'https://tidemark.example.com',
  corsOrigins: ['https://grafana.example.com'],
  allowedHosts: ['tidemark.lan', '0.0.0.0'],
} as const

describe('an origin', () => {
  test.each([
    ['https://Tidemark.Example.com/', 'https://tidemark.example.com'],
    ['http://a:80', 'http://a'],
    ['https://a:8443', 'https://a:8443'],
    ['http://[::1]:8080', 'http://[::1]:8080'],
    ['null', undefined],
    ['', undefined],
    ['*', undefined],
    ['a', undefined],
    ['ftp://a', undefined],
    ['https://a/path', undefined],
    ['https://user@a', undefined],
    ['https://a, https://b', undefined],
    ['https://a#b', undefined],
  ])('is read from %j', (text, origin) => {
    expect(originOf(text)).toBe(origin)
  })
})

describe('a request that changes something comes', () => {
  const { provenanceOf } = createOriginRules(RULES)
  const behindTls = createOriginRules({ ...RULES, scheme: 'https' })

  test.each([
    // Not a browser.
    ['unknown', {}],
    ['unknown', { 'sec-fetch-site': 'none' }],
    // The gateway's own pages.
    ['own', { origin: 'http://localhost:8080' }],
    ['own', { origin: 'HTTP://LOCALHOST:8080' }],
    ['own', { origin: 'http://localhost:8080', 'sec-fetch-site': 'same-origin' }],
    ['own', { 'sec-fetch-site': 'same-origin' }],
    ['own', { origin: 'https://tidemark.example.com' }],
    // A proxy ends TLS.
    ['own', { origin: 'https://localhost:8080', 'sec-fetch-site': 'same-origin' }],
    ['own', { host: 'a.example', origin: 'https://a.example', 'sec-fetch-site': 'same-origin' }],
    ['own', { host: 'a.example:80', origin: 'http://a.example' }],
    ['own', { host: '[0:0:0:0:0:0:0:1]:1', origin: 'http://[::1]:1' }],
    ['friend', { origin: 'https://grafana.example.com', 'sec-fetch-site': 'cross-site' }],
    // Other sites.
    ['foreign', { origin: 'https://evil.example' }],
    ['foreign', { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' }],
    ['foreign', { origin: 'null' }],
    ['foreign', { origin: '' }],
    ['foreign', { origin: 'http://localhost' }],
    ['foreign', { origin: 'http://localhost:8081' }],
    ['foreign', { origin: 'https://localhost:8080' }],
    ['foreign', { origin: 'http://localhost.:8080' }],
    ['foreign', { origin: 'http://127.0.0.1:8080' }],
    ['foreign', { origin: 'http://localhost:8080.evil.example' }],
    ['foreign', { origin: 'http://localhost:8080, https://evil.example' }],
    ['foreign', { origin: 'http://tidemark.example.com' }],
    ['foreign', { origin: 'https://a.tidemark.example.com' }],
    ['foreign', { origin: 'http://localhost:8080', 'sec-fetch-site': 'cross-site' }],
    ['foreign', { 'sec-fetch-site': 'cross-site' }],
    ['foreign', { 'sec-fetch-site': 'same-site' }],
    ['foreign', { 'sec-fetch-site': 'nonsense' }],
    ['foreign', { host: undefined, origin: 'http://localhost:8080' }],
    // A page cannot choose the Host, but this header.
    ['foreign', { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' }],
  ])('from %s with %o', (provenance, headers) => {
    expect(provenanceOf({ host: 'localhost:8080', ...headers })).toBe(provenance)
  })

  test('by https from pages of https', () => {
    const { provenanceOf } = behindTls
    expect(provenanceOf({ host: 'localhost:8443', origin: 'https://localhost:8443' })).toBe('own')
    expect(provenanceOf({ host: 'localhost', origin: 'https://localhost:443' })).toBe('own')
    expect(provenanceOf({ host: 'localhost:8443', origin: 'http://localhost:8443' })).toBe('foreign')
  })
})

describe('without authentication a Host', () => {
  test.each([
    undefined,
    '',
    'localhost',
    'LOCALHOST:8080',
    'localhost.:8080',
    'tidemark.localhost',
    '127.0.0.1:8080',
    '10.1.2.3',
    '[::1]:8080',
    'tidemark.lan',
    'Tidemark.LAN.:80',
    'tidemark.example.com',
    '0.0.0.0:8080',
  ])('%j is allowed', host => {
    expect(createOriginRules(RULES).isHostAllowed({ host })).toBe(true)
  })

  test.each([
    'evil.example',
    'evil.example:8080',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'a.tidemark.lan',
    'xlocalhost',
    '1.2.3.4.5',
    'localhost@evil.example',
    'grafana.example.com',
  ])('%j is not', host => {
    const { isHostAllowed } = createOriginRules(RULES)
    expect(isHostAllowed({ host: 'localhost' })).toBe(true)
    expect(isHostAllowed({ host })).toBe(false)
    expect(isHostAllowed({ host, 'x-forwarded-host': 'localhost' })).toBe(false)
  })
})
