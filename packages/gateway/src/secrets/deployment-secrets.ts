import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createApiKey } from '@tidemark/shared/access/api-key'
import { formatKeyFile } from '@tidemark/shared/access/key-file'
import type { Scope } from '@tidemark/shared/access/scope'

/** Beside this file, or beside the bundle that this file becomes a part of. */
const USERS = new URL('./users.acl', import.meta.url)

const PREFIX_DEFAULT = 'tm'

/** The users in users.acl that have a password. */
export const REDIS_USERS = ['gateway', 'analyzer', 'exporter', 'admin', 'probe'] as const
type RedisUser = (typeof REDIS_USERS)[number]

export interface DeploymentSecrets {
  /** The ACL file of Redis, and each user's password. */
  readonly usersAcl: string
  readonly passwords: Readonly<Record<RedisUser, string>>
  /** The file of API keys, which has only their digests. */
  readonly apiKeysFile: string
  /** The API key of the first operator, with every scope. */
  readonly operatorKey: string
  /** The API key of the canary: it may ingest and read keys that begin with tidemark/. */
  readonly canaryKey: string
  /** The API key of the load test, which may ingest and read. */
  readonly loadTestKey: string
}

/** Makes the secrets of a new deployment. Every call makes others. */
export function createDeploymentSecrets(now: number, prefix = PREFIX_DEFAULT): DeploymentSecrets {
  const passwords = Object.fromEntries(
    REDIS_USERS.map(user => [user, randomBytes(32).toString('hex')]),
  ) as DeploymentSecrets['passwords']
  const made = { key_prefix: '', limits: {}, expires_at: null, created_at: now, created_by: 'npm run secrets' }
  const newKey = (name: string, ...scopes: Scope[]) => createApiKey({ ...made, name, scopes })
  const canary = createApiKey({ ...made, name: 'canary', scopes: ['ingest', 'read'], key_prefix: 'tidemark/' })
  const operator = newKey('operator', 'ingest', 'read', 'operate', 'admin')
  const loadTest = newKey('load-test', 'ingest', 'read')
  return {
    usersAcl: formatUsers(passwords, prefix),
    passwords,
    apiKeysFile: formatKeyFile([operator.record, canary.record, loadTest.record]),
    operatorKey: operator.token,
    canaryKey: canary.token,
    loadTestKey: loadTest.token,
  }
}

/** Returns the ACL file of Redis, one line for each user. It has the digests of the passwords. */
export function formatUsers(passwords: Readonly<Record<RedisUser, string>>, prefix = PREFIX_DEFAULT): string {
  const lines = readFileSync(USERS, 'utf8')
    .replaceAll(/^#.*\n|^\n/gm, '')
    .replaceAll(/\n +/g, ' ')
    .replaceAll(/ #(\w+)/g, (_, user: RedisUser) => ` #${createHash('sha256').update(passwords[user]).digest('hex')}`)
  return lines.replaceAll(/~tm:/g, `~${prefix}:`)
}
