import type { Keys } from '../keys.ts'
import type { Client } from './connection.ts'
import { readScript } from './lua-source.ts'
import type { RedisStoreOptions } from './options.ts'

/** The number of keys of each script, except those that script-call.ts sends. */
const KEY_COUNTS = {
  claimRequest: 2,
  loadCheckpoint: 2,
  keptEntries: 2,
  noteAttempt: 2,
  withdrawAttempt: 1,
  backlog: 3,
  acquire: 2,
  release: 2,
  heartbeat: 1,
  layout: 1,
  expiredTimers: 1,
  readPoints: 1,
  dueNotifications: 2,
  recordNotifications: 6,
  recordDeliveries: 6,
  recordTaken: 1,
  redriveNotification: 3,
  setOperatorState: 4,
  setFeedback: 3,
  saveStorm: 7,
  /** As many as they are given: their number becomes the first argument. */
  renew: 0,
  atRest: 0,
  readAlertFeeds: 0,
  readFeed: 0,
  replaceRules: 2,
  rulesDigest: 1,
  reportProcess: 1,
  changeApiKey: 3,
  takeTokens: 1,
  advanceTotal: 1,
  beginAudit: 2,
  endAudit: 2,
  lookUpKeys: 2,
  registerKeys: 3,
  readAggregates: 5,
  scanKeys: 2,
  requestDeletion: 2,
  finishDeletion: 2,
} as const

type Script = (...args: (string | number)[]) => Promise<unknown>

/** A connection that runs Tidemark's scripts. */
export type ScriptClient = Client & Record<keyof typeof KEY_COUNTS | 'readFeedBuffer' | 'readAggregatesBuffer', Script>

/** What the parts of the Redis store share. */
export interface StoreContext {
  readonly client: ScriptClient
  readonly keys: Keys
  readonly options: RedisStoreOptions
}

/**
 * Adds the scripts to `client` as methods. ioredis sends a script's text once on each socket, then
 * its digest, and the text again when Redis does not know the digest.
 */
export function defineScripts(client: Client): ScriptClient {
  for (const [name, numberOfKeys] of Object.entries(KEY_COUNTS)) {
    const file = name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
    const { lua } = readScript(file)
    client.defineCommand(name, numberOfKeys === 0 ? { lua } : { lua, numberOfKeys })
  }
  return client as ScriptClient
}
