import type { ApiKey } from '@tidemark/shared/access/api-key'
import { KeyFileError, parseKeyFile } from '@tidemark/shared/access/key-file'
import { ConfigError } from '@tidemark/shared/runtime/config'
import { createWatchedFile, FileFault, fileFault, poll } from '@tidemark/shared/runtime/watched-file'
import type { ApiKeyStore } from '@tidemark/shared/store/ports/api-keys'
import type { Logger } from 'pino'
import { withTimeout } from '../store-timeout.ts'
import type { Authentication } from './authentication.ts'
import type { KeySource } from './key-table.ts'

/** How often the store is polled for changes of keys: when a gateway at rest wakes up anyway. */
const STORE_POLL_MS = 1000

/** A key's last use is written so often at most. */
const NOTE_EVERY_MS = 60_000

const FILE_BYTES_MAX = 16 * 1024 * 1024

interface KeySourcesOptions {
  readonly authentication: Authentication
  /** API_KEYS_FILE. */
  readonly file: string | undefined
  readonly timeoutMs: number
  readonly now: () => number
  readonly log: Logger
  /** Logs and counts a failure of the store, or a bug. */
  readonly failures: (error: unknown, what: string) => unknown
  readonly metrics: {
    keysLoaded(source: KeySource, keys: number): void
    keysUnreadable(source: KeySource): void
    keyFileBroken(isBroken: boolean): void
    authenticationEnabled(isEnabled: boolean): void
  }
  /** Called when the keys in the store have been read for the first time. */
  readonly onFirstLoad: () => void
}

export type KeySources = Awaited<ReturnType<typeof openKeySources>>

/**
 * Loads the API keys of the file, and from `attach` on those of the store, and keeps both up to
 * date. While a source cannot be read, its last keys stay in force. Throws a ConfigError if the
 * file cannot be read at the start.
 */
export async function openKeySources(options: KeySourcesOptions) {
  const { authentication, file, timeoutMs, now, log, failures, metrics, onFirstLoad } = options
  const { table } = authentication

  function adopt(source: KeySource, keys: readonly ApiKey[]): void {
    table.replace(source, keys)
    metrics.keysLoaded(source, keys.length)
    metrics.authenticationEnabled(authentication.isEnabled)
    log.info({ source, keys: keys.length }, 'API keys loaded')
  }

  const polling = new AsyncDisposableStack()
  metrics.authenticationEnabled(authentication.isEnabled)
  if (file !== undefined) {
    const keyFile = createWatchedFile(file, FILE_BYTES_MAX, parseKeys)
    try {
      adopt('file', (await keyFile.read()) ?? [])
    } catch (error) {
      throw new ConfigError(`API_KEYS_FILE: ${fileFault(file, error)}`, { cause: error })
    }
    let logged = ''
    polling.use(
      poll(async () => {
        try {
          const keys = await keyFile.read()
          if (keys !== undefined) adopt('file', keys)
          metrics.keyFileBroken(false)
          logged = ''
        } catch (error) {
          const fault = fileFault(file, error)
          metrics.keyFileBroken(true)
          if (fault === logged) return
          logged = fault
          metrics.keysUnreadable('file')
          log.error(`API_KEYS_FILE: ${fault}; the API keys that it had before stay in force`)
        }
      }),
    )
  }

  let store: ApiKeyStore | undefined
  let revision: string | undefined
  let checking: Promise<void> = Promise.resolve()

  /** Loads the keys if they have changed. Checks run one at a time: none can adopt older keys. */
  function refresh(): Promise<void> {
    checking = checking.catch(() => undefined).then(check)
    return checking
  }

  async function check(): Promise<void> {
    if (store === undefined) return
    if ((await withTimeout(store.revision(), timeoutMs)) === revision) return
    const loaded = await withTimeout(store.load(), timeoutMs)
    const isFirst = revision === undefined
    revision = loaded.revision
    authentication.keysLoaded()
    adopt('store', loaded.keys)
    if (isFirst) onFirstLoad()
  }

  async function noteUses(opened: ApiKeyStore): Promise<void> {
    const used = table.list().filter(({ usedAt, notedAt }) => usedAt - notedAt >= NOTE_EVERY_MS)
    if (used.length === 0) return
    const uses = used.map(({ record, usedAt }) => [record.id, usedAt] as const)
    for (const key of used) key.notedAt = now()
    await withTimeout(opened.noteUses(new Map(uses)), timeoutMs)
  }

  return {
    /** Reads the keys of the store, and begins to poll it until the result is disposed of. */
    async attach(opened: ApiKeyStore): Promise<AsyncDisposable> {
      store = opened
      const read = async (): Promise<void> => {
        try {
          await refresh()
          await noteUses(opened)
        } catch (error) {
          metrics.keysUnreadable('store')
          failures(error, 'the API keys in the store were not read; the last ones stay in force')
        }
      }
      await read()
      return poll(read, STORE_POLL_MS)
    },
    /** Makes changes through this gateway take effect here at once, if the store responds. */
    refresh: () => refresh().catch(() => undefined),
    [Symbol.asyncDispose]: () => polling.disposeAsync(),
  }
}

function parseKeys(text: string): ApiKey[] {
  try {
    return parseKeyFile(text)
  } catch (error) {
    if (error instanceof KeyFileError) throw new FileFault(error.message, { cause: error })
    throw error
  }
}
