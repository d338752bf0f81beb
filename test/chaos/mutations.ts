/** A safeguard removed from the code. A run that does not fail without it does not test it. */
export interface Mutant {
  readonly name: string
  readonly file: string
  /** All applied together: a safeguard may be implemented in more than one place. */
  readonly changes: readonly Change[]
}

export interface Change {
  /** Must occur exactly once in the file. */
  readonly from: string | RegExp
  readonly to: string
}

const COMMIT = 'packages/shared/src/store/redis/lua/commit.lua'

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'the lease check',
    file: COMMIT,
    changes: [{ from: "  if redis.call('GET', lease_key) ~= token then return { 'fenced' } end\n", to: '' }],
  },
  {
    name: 'the checkpoint comparison',
    file: COMMIT,
    changes: [
      {
        from: "if checkpoint ~= from_id or has_lost or not is_after(first_id, from_id) then return { 'stale', checkpoint } end\n",
        to: '',
      },
    ],
  },
  {
    name: 'the acknowledgement in the commit',
    file: COMMIT,
    changes: [
      {
        from: "  acknowledged = acknowledged + redis.call('XACK', samples_key, group, unpack(ARGV, first, last))\n",
        to: '',
      },
    ],
  },
  {
    name: 'the watch of a transaction',
    file: 'packages/shared/src/store/redis/commit.ts',
    changes: [{ from: 'watched: WATCHED.map(name => at[name])', to: "watched: ['unused']" }],
  },
  {
    name: 'the check of a transaction',
    file: 'packages/shared/src/store/redis/checked-transaction.ts',
    changes: [{ from: "String(checked[0]) === 'ready'", to: 'true' }],
  },
  {
    name: 'pending entries first',
    file: 'packages/analyzer/src/partition/partition-worker.ts',
    changes: [{ from: /const pending = await store\.readPending\([^\n]+\n/, to: 'const pending: Entry[] = []\n' }],
  },
  {
    name: 'both gap checks',
    file: COMMIT,
    changes: [
      { from: "if skipped[1] then return { 'gap', skipped[1][1] } end\n", to: '' },
      { from: "    if at > entries.last then return { 'gap', row[1] } end\n", to: '' },
    ],
  },
  {
    name: 'idempotency marks',
    file: 'packages/shared/src/store/redis/lua/append-once.lua',
    changes: [{ from: 'if known and expires_at > now_ms then', to: 'if false then' }],
  },
]
