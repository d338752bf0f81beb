import { newNonce } from '../../sample/entry.ts'
import type { Keys } from '../keys.ts'
import { StoreError } from '../ports/errors.ts'
import type { AppendBatch, AppendOutcome, GatewayStore, NoMemory } from '../ports/gateway.ts'
import { appendArguments } from './append-arguments.ts'
import { createConfirmedAppend } from './confirmed-append.ts'
import { type Client, connect, inOneWrite } from './connection.ts'
import { DurabilityGuard } from './durability-guard.ts'
import { isOutOfMemory, toStoreError } from './errors.ts'
import { readScript } from './lua-source.ts'
import type { RedisStoreOptions } from './options.ts'
import { callScript } from './script-call.ts'

/**
 * Claims and appended batches are remembered in one hash: this prefix and CLAIM of gateway-store.ts
 * distinguish them.
 */
const BATCH = 'batch:'

/** The part of a command's timeout that a replica has to confirm. */
const CONFIRM_SHARE = 0.25

const plainScript = readScript('append')
const onceScript = readScript('append-once')

export interface AppendOptions {
  readonly client: Client
  readonly keys: Keys
  readonly partitions: number
  readonly options: RedisStoreOptions
}

/** Creates the `append` for the configured durability. Rejects with a DurabilityMismatch. */
export async function createAppend({
  client,
  keys,
  partitions,
  options,
}: AppendOptions): Promise<Pick<GatewayStore, 'append'> & AsyncDisposable> {
  const { durability, commandTimeoutMs } = options
  await using opening = new AsyncDisposableStack()

  const keysOf = Array.from({ length: partitions }, (_, partition) => {
    const { samples, accepted, checkpoint, requests, requestTimes } = keys.partition(partition)
    return { plain: [samples, accepted, checkpoint], once: [samples, accepted, checkpoint, requests, requestTimes] }
  })

  function appendOne(node: Client, { partition, samples, count, once, traces }: AppendBatch): Promise<AppendOutcome> {
    const own = keysOf[partition]
    if (own === undefined) throw new RangeError(`there is no partition ${partition}`)
    const rest = [String(count), String(options.backlogMax), newNonce()]
    if (once !== undefined) rest.push(BATCH + once.request, String(once.ttlMs), String(options.requestsMax))
    if (traces !== undefined) rest.push(traces)
    const args = appendArguments(samples, rest)
    const reply =
      once === undefined ? callScript(node, plainScript, own.plain, args) : callScript(node, onceScript, own.once, args)
    return reply.then(toAppendOutcome, toFailure)
  }

  let append: GatewayStore['append'] = batches =>
    inOneWrite(client, () => Promise.all(batches.map(batch => appendOne(client, batch))))

  if (durability?.level === 'replicated') {
    const own = await connect(options)
    opening.defer(() => own.disconnect())
    append = await createConfirmedAppend({
      client: own,
      partitions,
      keyOf: partition => keys.partition(partition).samples,
      timeoutMs: Math.ceil(commandTimeoutMs * CONFIRM_SHARE),
      appendOne,
    })
  }
  if (durability !== undefined) {
    const guard = opening.use(await DurabilityGuard.start({ client, ...durability }))
    const appendUnguarded = append
    append = async batches => {
      const { fault } = guard
      if (fault === undefined) return appendUnguarded(batches)
      return batches.map(() => ({ kind: 'failed', error: new StoreError(fault, { kind: 'refused' }) }))
    }
  }
  const resources = opening.move()
  return { append, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

function toAppendOutcome(reply: unknown): AppendOutcome {
  const [status, detail] = reply as [string, string | number]
  if (status === 'stored' || status === 'known') return { kind: status, id: String(detail) }
  return status === 'backlog-full'
    ? { kind: status, backlog: Number(detail) }
    : { kind: 'limit-reached', roomInMs: Math.max(0, Number(detail)) }
}

const NO_MEMORY: NoMemory = { kind: 'no-memory' }

function toFailure(error: unknown): AppendOutcome {
  return isOutOfMemory(error) ? NO_MEMORY : { kind: 'failed', error: toStoreError(error) }
}
