import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Random } from '@tidemark/testkit/random'
import { isLostBy } from './loss.ts'
import { readPartitionStates } from './partition-state.ts'
import { post } from './request.ts'
import type { CompletedRequest } from './traffic.ts'
import type { World } from './world.ts'

/** Maximum number of requests that are replayed at the end. */
const REQUESTS_MAX = 2000

/** How many of these are also sent with another body. */
const ALTERED_MAX = 20

const CLIENTS = 8

/** A request that gets 503 is sent again for so long: a slow machine may stop Redis for seconds. */
const STORED_WITHIN_MS = 60_000

/** Attempts for a request that gets another response. */
const SENDS_MAX = 5

export interface Replay {
  readonly requests: number
  /** Additional samples that Redis counts; must be 0. */
  readonly added: number
}

/**
 * Checks I7: replays completed requests, as clients would that never received the response. Each
 * gets the original response, and nothing is stored again. Requests whose samples Redis lost are
 * skipped, because their marks are lost too.
 */
export async function replay(world: World, random: Random): Promise<Replay> {
  const { traffic, losses, violation } = world
  const kept = traffic.completedRequests.filter(
    ({ receipts }) => !receipts.some(receipt => losses.some(loss => isLostBy(loss, receipt))),
  )
  const chosen = random.shuffled(kept).slice(0, REQUESTS_MAX)
  const before = await acceptedSamples(world)
  const queue = chosen.entries()
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (const [i, request] of queue) {
        await sendAgain(request, world, i)
        if (i < ALTERED_MAX) await sendAltered(request, world, i)
      }
    }),
  )
  const added = (await acceptedSamples(world)) - before
  if (added !== 0) violation(`I7: Redis counts ${added} additional samples after a replay of ${chosen.length} requests`)
  return { requests: chosen.length, added }
}

async function sendAgain({ request, receipts }: CompletedRequest, world: World, i: number): Promise<void> {
  const { violation } = world
  const deadline = performance.now() + STORED_WITHIN_MS
  for (let sends = 1; ; sends++) {
    const response = await post(request, gatewayPort(world, i))
    if (response.kind === 'completed' && response.status === 202) {
      const { accepted, receipts: again = [] } = response.result
      if (accepted !== request.samples.length || again.join() !== receipts.join()) {
        violation(`I7: a replay got ${accepted} samples with ${again.join()}, the original ${receipts.join()}`)
      }
      return
    }
    const isUnavailable = response.kind !== 'completed' || response.status === 503
    if (isUnavailable ? performance.now() > deadline : sends === SENDS_MAX) {
      violation(`I7: a replay got ${JSON.stringify(response).slice(0, 300)}`)
      return
    }
    await pause(200)
  }
}

/** Sends another body under a used Idempotency-Key, which is a client error (422). */
async function sendAltered({ request }: CompletedRequest, world: World, i: number): Promise<void> {
  const [sample] = request.samples
  const body = JSON.stringify({ ...sample, value: (sample?.value ?? 0) + 1 })
  const response = await post({ ...request, body, type: 'application/json' }, gatewayPort(world, i))
  if (response.kind !== 'completed' || response.status !== 422) {
    world.violation(`I7: another body under a used key got ${JSON.stringify(response).slice(0, 300)}`)
  }
}

function gatewayPort({ deployment }: World, i: number): number {
  return deployment.gateways[i % deployment.gateways.length]?.process?.port ?? 0
}

async function acceptedSamples({ deployment }: World): Promise<number> {
  const states = await readPartitionStates(deployment.redis, deployment.options.partitions)
  return states.reduce((sum, { accepted }) => sum + accepted, 0)
}
