import { z } from '@hono/zod-openapi'
import { entryTimeMs } from '@tidemark/shared/sample/receipt'
import { OWNER_CHANGES_KEPT, type OwnerChange } from '@tidemark/shared/store/ports/lease'
import { json, PROBLEMS, timeMember } from '../http/documentation.ts'
import { optionalInteger } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'

const REASONS = ['handed_off', 'expired', 'first', 'released'] as const

export const rebalancesSchema = z
  .strictObject({
    rebalances: z.array(
      z.strictObject({
        at: timeMember,
        partition: z.int().min(0),
        from: z.string().nullable().describe('The analyzer that had it before; null if none is known.'),
        to: z.string().nullable().describe('The analyzer that took it; null if none has yet.'),
        reason: z
          .enum(REASONS)
          .describe(
            '`handed_off`: the previous analyzer released it. `expired`: it did not renew its lease, because it was ' +
              'killed, frozen or cut off. `first`: nothing is known before. `released`: no analyzer has it now.',
          ),
      }),
    ),
  })
  .openapi('Rebalances')

const rebalancesRoute = createRoute({
  method: 'get',
  path: '/rebalances',
  access: 'read',
  operationId: 'rebalances',
  summary: 'Which partition went from which analyzer to which, when and why; newest first',
  description: `Of each partition the newest ${OWNER_CHANGES_KEPT} times that a lease was taken or released are kept.`,
  request: {
    query: z.strictObject({ limit: optionalInteger({ min: 1, max: 500, fallback: 50 }).describe('The most to list.') }),
  },
  responses: { 200: json('The changes.', rebalancesSchema), ...PROBLEMS },
})

export function serveRebalances(router: Router, { services }: RoutesOptions): void {
  serve(router, rebalancesRoute, async c => {
    const { partitions, gateway } = services().store
    const numbers = Array.from({ length: partitions }, (_, partition) => partition)
    const found = await Promise.all(
      numbers.map(async partition => {
        const changes = await gateway.ownerChanges(partition)
        return changes
          .flatMap((change, i) => rebalanceOf(change, changes[i + 1], i === 0) ?? [])
          .map(one => ({ ...one, partition }))
      }),
    )
    const rebalances = found.flat().sort((a, b) => b.at - a.at || a.partition - b.partition)
    return c.json({ rebalances: rebalances.slice(0, c.req.valid('query').limit) })
  })
}

/** A release is part of the taking that follows it, unless it is the newest. */
function rebalanceOf({ id, kind, owner }: OwnerChange, before: OwnerChange | undefined, isNewest: boolean) {
  const at = entryTimeMs(id)
  if (kind === 'released') return isNewest ? ({ at, from: owner, to: null, reason: 'released' } as const) : undefined
  const from = before?.owner ?? null
  const reason = before === undefined ? 'first' : before.kind === 'released' ? 'handed_off' : 'expired'
  return { at, from, to: owner, reason } as const
}
