import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Random } from '@tidemark/testkit/random'
import type { AcceptedRequest } from './client.ts'
import { isLostBy } from './loss.ts'
import { readPartitionStates } from './partition-state.ts'
import { post } from './request.ts'
import type { World } from './world.ts'

/** Requests that are sent again at the end, at most. */
const REQUESTS_MAX = 2000

/** Of these, how many also come with another body. */
const ALTERED_MAX = 20

const CLIENTS = 8

/** A request that is refused for a moment is sent so often. */
const SENDS_MAX = 5

export interface Replay {
  readonly requests: number
  /** Samples that Redis counts more than before; 0 is right. */
  readonly added: number
}

/**
 * I7: sends requests of the log again, as their clients would that never saw the answer. Each gets the answer of the first
 * time, and nothing is added. Only what Redis has not lost: the mark of a request is lost with its samples.
 */
export async function replay(world: World, random: Random): Promise<Replay> {
  const { traffic, losses, breach } = world
  const kept = traffic.repeatable.filter(
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
  if (added !== 0) breach(`I7: ${chosen.length} requests were sent again, and Redis counts ${added} samples more`)
  return { requests: chosen.length, added }
}

async function sendAgain({ request, receipts }: AcceptedRequest, world: World, i: number): Promise<void> {
  const { breach } = world
  for (let sends = 1; ; sends++) {
    const answer = await post(request, gatewayPort(world, i))
    if (answer.kind === 'answered' && answer.status === 202) {
      const { accepted, receipts: again = [] } = answer.result
      if (accepted !== request.samples.length || again.join() !== receipts.join()) {
        breach(`I7: a repeat at the end says ${accepted} in ${again.join()}; first it was ${receipts.join()}`)
      }
      return
    }
    if (sends === SENDS_MAX) {
      breach(`I7: a repeat at the end was answered with ${JSON.stringify(answer).slice(0, 300)}`)
      return
    }
    await pause(200)
  }
}

/** The same name with another body is a mistake of the client, and is told so. */
async function sendAltered({ request }: AcceptedRequest, world: World, i: number): Promise<void> {
  const [sample] = request.samples
  const body = JSON.stringify({ ...sample, value: (sample?.value ?? 0) + 1 })
  const answer = await post({ ...request, body, type: 'application/json' }, gatewayPort(world, i))
  if (answer.kind !== 'answered' || answer.status !== 422) {
    world.breach(`I7: another body under a used key was answered with ${JSON.stringify(answer).slice(0, 300)}`)
  }
}

function gatewayPort({ deployment }: World, i: number): number {
  return deployment.gateways[i % deployment.gateways.length]?.process?.port ?? 0
}

async function acceptedSamples({ deployment }: World): Promise<number> {
  const states = await readPartitionStates(deployment.redis, deployment.options.partitions)
  return states.reduce((sum, { accepted }) => sum + accepted, 0)
}
