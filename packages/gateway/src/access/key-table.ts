import { timingSafeEqual } from 'node:crypto'
import { type ApiKey, limitsOf } from '@tidemark/shared/access/api-key'
import { digestOfToken, idInToken, isMisspelled } from '@tidemark/shared/access/token'
import type { Principal } from './principal.ts'

export const KEY_SOURCES = ['file', 'store'] as const
export type KeySource = (typeof KEY_SOURCES)[number]

/** An API key that is in force, unless it has expired. */
export interface KeyInForce {
  readonly record: ApiKey
  readonly source: KeySource
  readonly principal: Principal
  readonly digest: Buffer
  /** Unix milliseconds; infinite for never. */
  readonly expiresAt: number
  /** When this gateway saw it last; 0 for never. */
  usedAt: number
  /** The same, as it was written to the store. */
  notedAt: number
}

/** What became of an API key that was presented. `unknown`: no such id, or it is revoked. */
export type Verification =
  | { readonly kind: 'ok'; readonly key: KeyInForce }
  | { readonly kind: 'malformed' | 'misspelled' | 'unknown' | 'wrong' | 'expired' }

/** Compared with keys of unknown ids, so that they take the same time. */
const NO_DIGEST = Buffer.alloc(32)

/** The API keys in force, of both sources. Where both have an id, that of the file counts. */
export class KeyTable {
  readonly #records: Record<KeySource, readonly ApiKey[]> = { file: [], store: [] }
  #keys = new Map<string, KeyInForce>()
  /** Increases with every change, so that what was verified before is verified again. */
  generation = 0

  get size(): number {
    return this.#keys.size
  }

  list(): readonly KeyInForce[] {
    return [...this.#keys.values()]
  }

  /** Returns the key with an id, also if it has expired. */
  find(id: string): KeyInForce | undefined {
    return this.#keys.get(id)
  }

  replace(source: KeySource, records: readonly ApiKey[]): void {
    this.#records[source] = records
    const before = this.#keys
    this.#keys = new Map()
    for (const from of ['store', 'file'] as const) {
      for (const record of this.#records[from]) this.#keys.set(record.id, inForce(record, from, before.get(record.id)))
    }
    this.generation++
  }

  verify(token: string, now: number): Verification {
    const id = idInToken(token)
    if (id === undefined) return { kind: 'malformed' }
    const key = this.#keys.get(id)
    const isEqual = timingSafeEqual(digestOfToken(token), key?.digest ?? NO_DIGEST)
    if (key === undefined || !isEqual) {
      if (isMisspelled(token)) return { kind: 'misspelled' }
      return { kind: key === undefined ? 'unknown' : 'wrong' }
    }
    return now < key.expiresAt ? { kind: 'ok', key } : { kind: 'expired' }
  }
}

function inForce(record: ApiKey, source: KeySource, before: KeyInForce | undefined): KeyInForce {
  const { id, name, scopes, key_prefix: keyPrefix, sha256, expires_at: expiresAt } = record
  return {
    record,
    source,
    principal: { id, name, scopes: new Set(scopes), keyPrefix, limits: limitsOf(record), via: 'api-key' },
    digest: Buffer.from(sha256, 'hex'),
    expiresAt: expiresAt ?? Number.POSITIVE_INFINITY,
    usedAt: before?.usedAt ?? 0,
    notedAt: before?.notedAt ?? 0,
  }
}
