import type { Keys } from '../keys.ts'
import type { AnalyzerStore } from '../ports/analyzer.ts'
import type { Lease } from '../ports/lease.ts'
import { inOneWrite } from './connection.ts'
import { mapErrors } from './errors.ts'
import type { ScriptClient } from './scripts.ts'

export interface OwnershipOptions {
  readonly client: ScriptClient
  readonly keys: Keys
  /**
   * Stores the layout if it is missing; rejects with a LayoutMismatch when another one is stored.
   */
  readonly noteLayout: () => Promise<unknown>
}

type Ownership = Pick<
  AnalyzerStore,
  'heartbeat' | 'leave' | 'acquireLease' | 'renewLeases' | 'releaseLease' | 'noteAttempt' | 'withdrawAttempt'
>

/** Members, leases, and what the next owner must know of the work of the previous one. */
export function createOwnership({ client, keys, noteLayout }: OwnershipOptions): Ownership {
  const leaseOf = (partition: number): string => keys.partition(partition).lease
  return {
    heartbeat: (member, ttlMs) =>
      mapErrors(async () => {
        // Redis may have been emptied, and the next process to start must still find this
        // deployment's layout.
        const [members] = await Promise.all([client.heartbeat(keys.members, member, ttlMs), noteLayout()])
        return (members as string[]).toSorted()
      }),
    leave: member =>
      mapErrors(async () => {
        await client.zrem(keys.members, member)
      }),

    acquireLease: (partition, token, ttlMs) =>
      mapErrors(async () => (await client.acquire(leaseOf(partition), token, ttlMs)) === 1),
    renewLeases: (leases, ttlMs) =>
      mapErrors(async () => {
        const renew = ({ partition, token }: Lease) => client.renew(leaseOf(partition), token, ttlMs)
        const replies = await inOneWrite(client, () => Promise.all(leases.map(renew)))
        return replies.map(reply => reply === 1)
      }),
    releaseLease: ({ partition, token }) =>
      mapErrors(async () => (await client.release(leaseOf(partition), token)) === 1),

    noteAttempt: ({ partition, token }, { id, count }) =>
      mapErrors(async () => {
        const { lease, checkpoint } = keys.partition(partition)
        return (await client.noteAttempt(lease, checkpoint, token, `${id} ${count}`)) === 1
      }),
    withdrawAttempt: (partition, { id, count }) =>
      mapErrors(async () => {
        const replacement = count > 1 ? `${id} ${count - 1}` : ''
        await client.withdrawAttempt(keys.partition(partition).checkpoint, `${id} ${count}`, replacement)
      }),
  }
}
