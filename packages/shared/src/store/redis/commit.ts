import type { AnalyzerStore } from '../ports/analyzer.ts'
import { assertCommitShape, type Commit, type CommitOutcome } from '../ports/commit.ts'
import { StoreError } from '../ports/errors.ts'
import type { Lease } from '../ports/lease.ts'
import type { NodeTransactions } from './checked-transaction.ts'
import {
  COMMIT_HASHES,
  COMMIT_KEYS,
  type CommitHash,
  type CommitStep,
  commitArguments,
  hashArguments,
  toCheck,
  withoutHashes,
} from './commit-arguments.ts'
import { readScript } from './lua-source.ts'
import { ArgumentBuffers, type RespArguments } from './resp-arguments.ts'
import { callScript, EncodedCommand } from './script-call.ts'
import type { StoreContext } from './scripts.ts'

const commitScript = readScript('commit')

const HASHES = Object.keys(COMMIT_HASHES) as CommitHash[]

/**
 * Keys that only the owner of a partition writes, and the lease. A transaction watches them: what
 * commit.lua checks cannot change otherwise, because new entries come after those of a run.
 */
const WATCHED = ['lease', 'checkpoint', 'anomalies', 'deadLetters', 'verdicts', ...HASHES] as const

/**
 * Commits by one script. A large commit is tried as a transaction first, in which its hashes are
 * written by plain HSET commands: passing them through Lua would take Redis two thirds more time.
 * Whenever that does nothing, the script decides.
 */
export function createCommit(
  { client, keys, options }: StoreContext,
  transactions: NodeTransactions | undefined,
): AnalyzerStore['commit'] {
  const buffers = new ArgumentBuffers()

  async function byScript({ partition, token }: Lease, commit: Commit): Promise<unknown> {
    const at = keys.partition(partition)
    const args = commitArguments({ step: 'all', token, commit, options }, buffers.begin('all'))
    const touched = COMMIT_KEYS.map(name => at[name])
    const reply = await callScript(client, commitScript, touched, args)
    // Without a reply, a reconnected client may still send them.
    buffers.end('all', args)
    return reply
  }

  /** Returns the reply of the script; undefined when nothing was done. */
  async function byTransaction({ partition, token }: Lease, commit: Commit): Promise<unknown> {
    const at = keys.partition(partition)
    const sent = new Map<string, RespArguments>()
    function encode(kind: string, write: (args: RespArguments) => void): RespArguments {
      const args = buffers.begin(kind)
      write(args)
      sent.set(kind, args)
      return args
    }
    function encodeStep(step: CommitStep, part: Commit): RespArguments {
      return encode(step, args => commitArguments({ step, token, commit: part, options }, args))
    }
    const replies = await transactions?.of(partition)?.run(() => {
      const call = [String(COMMIT_KEYS.length), ...COMMIT_KEYS.map(name => at[name])]
      const hashes = HASHES.flatMap(hash => {
        const args = encode(hash, to => hashArguments(hash, commit, to))
        return args.count === 0 ? [] : [new EncodedCommand('hset', [at[hash]], args)]
      })
      // With its text: had Redis dropped the script since, it would write the hashes only.
      const rest = new EncodedCommand('eval', [commitScript.lua, ...call], encodeStep('apply', withoutHashes(commit)))
      return {
        watched: WATCHED.map(name => at[name]),
        check: new EncodedCommand('evalsha', [commitScript.sha, ...call], encodeStep('check', toCheck(commit))),
        commands: [...hashes, rest],
      }
    })
    if (replies !== undefined) for (const [kind, args] of sent) buffers.end(kind, args)
    return replies?.at(-1)
  }

  /** Without entries, a commit may require that none stands after it, which no key can tell. */
  function isLarge({ entries, keys: touched }: Commit): boolean {
    return transactions !== undefined && entries.length > 0 && touched.length >= options.transactionKeys
  }

  return async (lease, commit) => {
    assertCommitShape(commit)
    const reply = isLarge(commit) ? await byTransaction(lease, commit) : undefined
    return toCommitOutcome(reply ?? (await byScript(lease, commit)))
  }
}

function toCommitOutcome(reply: unknown): CommitOutcome {
  const [kind, detail, evicted] = reply as [CommitOutcome['kind'] | 'type', string | number | undefined, number?]
  switch (kind) {
    case 'ok':
      return evicted === undefined ? { kind, at: Number(detail) } : { kind, at: Number(detail), evicted }
    case 'already':
    case 'fenced':
      return { kind }
    case 'stale':
      return { kind, checkpoint: String(detail) }
    case 'gap':
      return { kind, id: String(detail) }
    case 'type':
      // Something else was stored under the key. Nothing was written; only an operator can fix it.
      throw new StoreError(
        `the Redis key ${String(detail)} is not of the type that Tidemark needs, or a count in it is no number. ` +
          'Nothing was changed. Restore the key from a backup, or delete it if another program wrote it.',
        { kind: 'fatal' },
      )
    default:
      throw new TypeError(`commit.lua returned ${JSON.stringify(reply)}, which is no outcome of a commit`)
  }
}
