type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/** The API key in a request; `ambiguous` if it has several that differ. */
export type Credential =
  | { readonly kind: 'none' | 'ambiguous' | 'malformed' }
  | { readonly kind: 'token'; readonly token: string }

const NONE: Credential = { kind: 'none' }

/** A scheme of RFC 9110 and its credentials. */
const AUTHORIZATION = /^([A-Za-z]+) +(\S+) *$/

/**
 * Reads the API key of a request: `Authorization: Bearer KEY`, `Token KEY` (InfluxDB's clients),
 * Basic with the key as its password and any user, or `X-API-Key: KEY`; and where the route accepts
 * that, what is `inQuery`.
 */
export function credentialOf(headers: Headers, inQuery?: string): Credential {
  const inHeaders = either(inAuthorization(headers.authorization), inKeyHeader(headers['x-api-key']))
  return inQuery === undefined ? inHeaders : either(inHeaders, { kind: 'token', token: inQuery })
}

function either(first: Credential, second: Credential): Credential {
  if (first.kind === 'none') return second
  if (second.kind === 'none') return first
  if (first.kind === 'token' && second.kind === 'token' && first.token === second.token) return first
  return { kind: 'ambiguous' }
}

function inKeyHeader(header: Headers[string]): Credential {
  if (header === undefined) return NONE
  return typeof header === 'string' ? { kind: 'token', token: header.trim() } : { kind: 'malformed' }
}

function inAuthorization(header: Headers[string]): Credential {
  if (header === undefined) return NONE
  const [, scheme = '', value = ''] = typeof header === 'string' ? (AUTHORIZATION.exec(header) ?? []) : []
  switch (scheme.toLowerCase()) {
    case 'bearer':
      return { kind: 'token', token: value }
    case 'token':
      // Clients of InfluxDB 2 send `user:password` to version 1.
      return { kind: 'token', token: value.slice(value.indexOf(':') + 1) }
    case 'basic': {
      const text = Buffer.from(value, 'base64').toString('utf8')
      const colon = text.indexOf(':')
      return colon < 0 ? { kind: 'malformed' } : { kind: 'token', token: text.slice(colon + 1) }
    }
    default:
      return { kind: 'malformed' }
  }
}
