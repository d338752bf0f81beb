import { assertCommitShape } from '../commit-shape.ts'
import type { Keys } from '../keys.ts'
import type { AnalyzerStore } from '../ports/analyzer.ts'
import type { CommitOutcome } from '../ports/commit.ts'
import { StoreError } from '../ports/errors.ts'
import { COMMIT_KEYS, commitArguments } from './commit-arguments.ts'
import type { Client } from './connection.ts'
import { mapErrors } from './errors.ts'
import { readScript } from './lua-source.ts'
import type { RedisStoreOptions } from './options.ts'
import { callScript } from './script-call.ts'

const script = readScript('commit')

export interface CommittingOptions {
  readonly client: Client
  readonly keys: Keys
  readonly options: RedisStoreOptions
}

export function createCommitting({ client, keys, options }: CommittingOptions): Pick<AnalyzerStore, 'commit'> {
  /** Size of the previous commit: the next will be about as large. */
  let bytes = 0
  return {
    commit: ({ partition, token }, commit) =>
      mapErrors(async () => {
        assertCommitShape(commit)
        const at = keys.partition(partition)
        const args = commitArguments({ token, commit, options }, bytes)
        bytes = args.bytes
        const touched = COMMIT_KEYS.map(name => at[name])
        return toCommitOutcome(await callScript(client, script, touched, args))
      }),
  }
}

function toCommitOutcome(reply: unknown): CommitOutcome {
  const [status, detail] = reply as [string, string | number | undefined]
  switch (status) {
    case 'ok':
      return { kind: 'ok', at: Number(detail) }
    case 'already':
      return { kind: 'already' }
    case 'stale':
      return { kind: 'stale', checkpoint: String(detail) }
    case 'gap':
      return { kind: 'gap', id: String(detail) }
    case 'fenced':
      return { kind: 'fenced' }
    default:
      // Something else was stored under one of the keys; nothing was written, and only an operator
      // can fix it.
      throw new StoreError(`the Redis key ${String(detail)} is not of the type that Tidemark needs`, { kind: 'fatal' })
  }
}
