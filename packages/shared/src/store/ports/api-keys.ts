import type { ApiKey } from '../../access/api-key.ts'

/**
 * The deployment's API keys that are not in a file. Methods may reject with a `StoreError`. Records
 * are bounded by API_KEYS_MAX; a key that a gateway of another version wrote in a way that this one
 * cannot read is not in force here.
 */
export interface ApiKeyStore {
  /** Reads what changes with every change of a key, but not with its use. Made to be polled. */
  revision(): Promise<string>
  /** Reads all keys, and the revision that they have. */
  load(): Promise<{ readonly keys: readonly ApiKey[]; readonly revision: string }>
  /** Adds a key. `full`: API_KEYS_MAX is reached. */
  add(key: ApiKey): Promise<'added' | 'exists' | 'full'>
  /** Replaces a key by what `change` makes of it; returns that, or undefined if there is none. */
  update(id: string, change: (key: ApiKey) => ApiKey): Promise<ApiKey | undefined>
  /** Deletes a key. Returns false if there is none. */
  remove(id: string): Promise<boolean>
  /** Notes when keys were last used (Unix milliseconds by id), those of a file too. */
  noteUses(uses: ReadonlyMap<string, number>): Promise<void>
  /** Reads when keys were last used, by id. */
  uses(): Promise<ReadonlyMap<string, number>>
}
