import type { Random } from '@tidemark/testkit/random'

/** Bytes that a client might send instead of a request, and the responses that it may get. */
export interface Junk {
  readonly name: string
  readonly bytes: string | Uint8Array
  /** Expected statuses, in order. Each 4xx is a problem, and the last one ends the connection. */
  readonly statuses: readonly number[]
}

const SAMPLE = '{"key":"junk","value":1}'

/** Returns a POST with additional header lines. */
function post(lines: readonly string[], body = ''): string {
  return `POST /ingest HTTP/1.1\r\nHost: localhost\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n${body}`
}

function get(target: string, lines: readonly string[] = ['Host: localhost']): string {
  return `GET ${target} HTTP/1.1\r\n${[...lines, 'Connection: close'].map(line => `${line}\r\n`).join('')}\r\n`
}

const LENGTH = `Content-Length: ${SAMPLE.length}`
const CHUNKED = `${SAMPLE.length.toString(16)}\r\n${SAMPLE}\r\n0\r\n\r\n`

/** The first 32 bytes that a browser sends to an HTTPS port. */
const TLS_HELLO = Buffer.from('16030100f1010000ed0303a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5', 'hex')

export const JUNK: readonly Junk[] = [
  // Not HTTP/1.
  { name: 'a TLS hello', bytes: TLS_HELLO, statuses: [400] },
  { name: 'HTTP/0.9', bytes: 'GET /livez\r\n\r\n', statuses: [400] },
  { name: 'an HTTP/2 preface', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', statuses: [400] },
  { name: 'HTTP/1.2 and HTTP/9.9', bytes: 'GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n', statuses: [400] },
  { name: 'a SIP request', bytes: 'INVITE sip:a@b SIP/2.0\r\n\r\n', statuses: [400] },
  { name: 'a Redis command', bytes: '*1\r\n$8\r\nFLUSHALL\r\n', statuses: [400] },
  { name: 'NUL bytes', bytes: Buffer.alloc(1000), statuses: [400] },
  { name: 'a NUL within a header', bytes: get('/livez', ['Host: localhost', 'X-A: a\0b']), statuses: [400] },
  { name: 'a NUL within the target', bytes: get('/livez\0'), statuses: [400] },
  {
    name: 'DEL and 8-bit bytes as method',
    bytes: '\x7f\xff\xfe / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    statuses: [400],
  },
  { name: 'a method of 64 KiB', bytes: `${'A'.repeat(65_536)} / HTTP/1.1\r\nHost: localhost\r\n\r\n`, statuses: [400] },

  // Targets and hosts.
  { name: 'an absolute URI', bytes: get('http://localhost/livez'), statuses: [200] },
  { name: 'an absolute URI of another host', bytes: get('http://elsewhere/livez'), statuses: [403] },
  { name: 'an invalid absolute URI', bytes: get('http://['), statuses: [400] },
  { name: 'an absolute URI with a user', bytes: get('http://user:password@localhost/livez'), statuses: [200] },
  { name: 'a target with a backslash', bytes: get('\\livez'), statuses: [400] },
  { name: 'a target without a slash', bytes: get('livez'), statuses: [400] },
  { name: 'a target with a broken escape', bytes: get('/analyze?key=%'), statuses: [400] },
  { name: 'a target of escapes that are not UTF-8', bytes: get('/%ff%fe%00'), statuses: [404] },
  { name: 'a path traversal', bytes: get('/docs/../../../../etc/passwd'), statuses: [404] },
  { name: 'an escaped path traversal', bytes: get('/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd'), statuses: [404] },
  { name: 'a target of 64 KiB', bytes: get(`/${'a'.repeat(65_536)}`), statuses: [431] },
  { name: 'no Host', bytes: get('/livez', []), statuses: [400] },
  { name: 'two Hosts', bytes: get('/livez', ['Host: localhost', 'Host: y']), statuses: [400] },
  { name: 'a Host with a space', bytes: get('/livez', ['Host: a b']), statuses: [400] },
  { name: 'a Host with a path', bytes: get('/livez', ['Host: x/../y']), statuses: [400] },
  { name: 'a Host with a user', bytes: get('/livez', ['Host: a@b']), statuses: [400] },
  { name: 'CONNECT', bytes: 'CONNECT x:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', statuses: [405] },
  { name: 'OPTIONS *', bytes: 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', statuses: [400] },
  { name: 'TRACE', bytes: 'TRACE /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', statuses: [405] },

  // Headers.
  {
    name: 'a header line of 64 KiB',
    bytes: get('/livez', ['Host: localhost', `X-A: ${'a'.repeat(65_536)}`]),
    statuses: [431],
  },
  {
    name: '10,000 headers',
    bytes: get('/livez', ['Host: localhost', ...Array.from({ length: 10_000 }, (_, i) => `X-${i}: ${i}`)]),
    statuses: [431],
  },
  {
    name: '100 short headers, the last of which declares a compressed body',
    bytes: post([LENGTH, 'Connection: close', ...Array(100).fill('A: b'), 'Content-Encoding: gzip'], SAMPLE),
    statuses: [431],
  },
  { name: 'a folded header', bytes: get('/livez', ['Host: localhost', 'X-A: a', ' b']), statuses: [400] },
  { name: 'a space before the colon', bytes: get('/livez', ['Host: localhost', 'X-A : a']), statuses: [400] },
  { name: 'a header without a name', bytes: get('/livez', ['Host: localhost', ': a']), statuses: [400] },
  { name: 'a header without a colon', bytes: get('/livez', ['Host: localhost', 'nonsense']), statuses: [400] },
  { name: 'a bare CR in a header', bytes: get('/livez', ['Host: localhost', 'X-A: a\rX-B: b']), statuses: [400] },
  { name: 'lines that end in LF alone', bytes: 'GET /livez HTTP/1.1\nHost: x\n\n', statuses: [400] },
  { name: 'an injected header in a parameter', bytes: get('/analyze?key=a%0d%0aX-Evil:%201'), statuses: [400] },
  { name: 'an upgrade', bytes: get('/livez', ['Host: localhost', 'Upgrade: h2c']), statuses: [200] },
  { name: 'an expectation', bytes: post([LENGTH, 'Expect: the moon'], SAMPLE), statuses: [417] },
  { name: 'an __proto__ header', bytes: get('/livez', ['Host: localhost', '__proto__: a']), statuses: [200] },

  // The end of a body. Servers that disagree about it allow request smuggling.
  {
    name: 'a Content-Length and a Transfer-Encoding',
    bytes: post([LENGTH, 'Transfer-Encoding: chunked'], CHUNKED),
    statuses: [400],
  },
  {
    name: 'a Transfer-Encoding and a Content-Length',
    bytes: post(['Transfer-Encoding: chunked', 'Content-Length: 4'], CHUNKED),
    statuses: [400],
  },
  { name: 'two Content-Lengths', bytes: post([LENGTH, 'Content-Length: 3'], SAMPLE), statuses: [400] },
  { name: 'twice the same Content-Length', bytes: post([LENGTH, LENGTH], SAMPLE), statuses: [400] },
  { name: 'a list of Content-Lengths', bytes: post(['Content-Length: 24, 24'], SAMPLE), statuses: [400] },
  { name: 'a negative Content-Length', bytes: post(['Content-Length: -1'], SAMPLE), statuses: [400] },
  { name: 'a Content-Length with a sign', bytes: post(['Content-Length: +24'], SAMPLE), statuses: [400] },
  { name: 'a hexadecimal Content-Length', bytes: post(['Content-Length: 0x18'], SAMPLE), statuses: [400] },
  { name: 'a Content-Length beyond 2^64', bytes: post([`Content-Length: ${'9'.repeat(30)}`], SAMPLE), statuses: [400] },
  { name: 'an empty Content-Length', bytes: post(['Content-Length:'], SAMPLE), statuses: [400] },
  { name: 'an unknown Transfer-Encoding', bytes: post(['Transfer-Encoding: xchunked'], CHUNKED), statuses: [400] },
  { name: 'chunked twice', bytes: post(['Transfer-Encoding: chunked, chunked'], CHUNKED), statuses: [400] },
  { name: 'chunked, then identity', bytes: post(['Transfer-Encoding: chunked, identity'], CHUNKED), statuses: [400] },
  { name: 'an invalid chunk size', bytes: post(['Transfer-Encoding: chunked'], 'xyz\r\n'), statuses: [400] },
  { name: 'a negative chunk size', bytes: post(['Transfer-Encoding: chunked'], '-1\r\na\r\n'), statuses: [400] },
  {
    name: 'a chunk size beyond 2^64',
    bytes: post(['Transfer-Encoding: chunked'], `${'f'.repeat(20)}\r\na\r\n`),
    statuses: [400],
  },
  {
    name: 'a chunk longer than its size',
    bytes: post(['Transfer-Encoding: chunked'], '1\r\nabc\r\n'),
    statuses: [400],
  },
  {
    name: 'a chunk extension of 64 KiB',
    bytes: post(['Transfer-Encoding: chunked'], `1;${'a'.repeat(65_536)}\r\na\r\n`),
    statuses: [413],
  },
  {
    name: 'a second request within the body of the first',
    bytes: post([LENGTH, 'Transfer-Encoding: chunked'], `0\r\n\r\n${get('/metrics')}`),
    statuses: [400],
  },
  {
    name: 'a sample, then junk: the sample gets its own response',
    bytes: `${post([LENGTH], SAMPLE)}nonsense\r\n\r\n`,
    statuses: [202, 400],
  },
  {
    name: 'a Content-Length that is too short',
    bytes: post(['Content-Length: 10'], SAMPLE),
    statuses: [400, 400],
  },
  // The first response is a read that the next one would have to wait for.
  {
    name: 'a read, a sample, then a folded header',
    bytes: `GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n${post([LENGTH], SAMPLE)}${get('/livez', ['Host: localhost', ' fold'])}`,
    statuses: [200, 202, 400],
  },
]

/** Returns random bytes, some after the beginning of a request so that they get further. */
export function randomBytes(random: Random): Uint8Array {
  const bytes = Buffer.alloc(random.integer(1, 4096))
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.integer(0, 255)
  const beginning = random.pick([
    '',
    '',
    'GET ',
    'POST /ingest HTTP/1.1\r\n',
    'POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n',
    'POST /ingest HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
    'POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n',
  ])
  return Buffer.concat([Buffer.from(beginning), bytes])
}

/** Methods of HTTP, of WebDAV and similar protocols, and unregistered ones. */
export const METHODS = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'QUERY'],
  ...['PROPFIND', 'MKCOL', 'LOCK', 'UNLOCK', 'REPORT', 'PURGE', 'MERGE', 'M-SEARCH', 'SUBSCRIBE', 'SOURCE'],
] as const

/** Paths that are served without parameters. */
export const PATHS = [
  ...['/ingest', '/analyze', '/history', '/health', '/livez', '/readyz', '/openapi.json', '/docs', '/docs/start.js'],
] as const

/** Returns a request with a random method and path. */
export function randomRequest(random: Random): string {
  const word = (): string =>
    Array.from({ length: random.integer(1, 12) }, () => String.fromCharCode(random.integer(97, 122))).join('')
  const method = random.uniform() < 0.8 ? random.pick(METHODS) : word().toUpperCase()
  const path = random.pick([
    () => `/${word()}`,
    () => `/${word()}/${word()}`,
    () => `/docs/${word()}`,
    () => `/ingest/${word()}`,
    () => `/analyze?key=${word()}`,
    () => `/analyze?${word()}=${word()}`,
    () => `/history?key=${word()}`,
    () => random.pick(PATHS),
    () => `/%${random.integer(0, 255).toString(16).padStart(2, '0')}${word()}`,
  ])()
  return `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nX-${word()}: ${word()}\r\n\r\n`
}
