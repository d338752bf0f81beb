import { newNonce } from '../../entry.ts'
import type { Keys } from '../../keys.ts'
import { type AppendBatch, type AppendOutcome, type GatewayStore, type NoMemory, StoreError } from '../ports.ts'
import { appendTarget, sendAppend } from './append-command.ts'
import { createConfirmedAppend } from './confirmed-append.ts'
import { type Client, connect, defineScripts, inOneWrite, type ScriptRunner } from './connection.ts'
import { guardDurability } from './durability.ts'
import { isOutOfMemory, toStoreError } from './errors.ts'
import type { RedisStoreOptions } from './store.ts'

/** Claims and appended batches are remembered in one hash: this and CLAIM of gateway-store.ts tell them apart. */
const BATCH = 'batch:'

/** A replica has this part of a command's time to confirm. */
const CONFIRM_SHARE = 0.25

export interface AppendOptions {
  readonly client: Client & ScriptRunner
  readonly keys: Keys
  readonly partitions: number
  readonly options: RedisStoreOptions
}

/** `append` of the gateway's store, as durable as was asked for. Rejects with a DurabilityMismatch where that cannot be. */
export async function createAppend({
  client,
  keys,
  partitions,
  options,
}: AppendOptions): Promise<Pick<GatewayStore, 'append'> & AsyncDisposable> {
  const { durability, commandTimeoutMs } = options
  await using opening = new AsyncDisposableStack()

  const targets = Array.from({ length: partitions }, (_, partition) => {
    const at = keys.partition(partition)
    return {
      plain: appendTarget('append', [at.samples, at.accepted, at.checkpoint]),
      once: appendTarget('append-once', [at.samples, at.accepted, at.checkpoint, at.requests, at.requestTimes]),
    }
  })

  function appendOne(runner: Client, batch: AppendBatch): Promise<AppendOutcome> {
    const { partition, samples, count, once, traces } = batch
    const target = targets[partition]
    if (target === undefined) throw new RangeError(`there is no partition ${partition}`)
    const rest = [String(count), String(options.backlogMax), newNonce()]
    if (once !== undefined) rest.push(BATCH + once.request, String(once.ttlMs), String(options.requestsMax))
    if (traces !== undefined) rest.push(traces)
    const sent = sendAppend(runner, once === undefined ? target.plain : target.once, samples, rest)
    return sent.then(toAppendOutcome, toFailure)
  }

  let append: GatewayStore['append'] = batches =>
    inOneWrite(client, () => Promise.all(batches.map(batch => appendOne(client, batch))))

  if (durability?.level === 'replicated') {
    const own = defineScripts(await connect(options))
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
    const guard = opening.use(await guardDurability({ client, ...durability }))
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
  return status === 'full'
    ? { kind: 'full', backlog: Number(detail) }
    : { kind: 'crowded', roomInMs: Math.max(0, Number(detail)) }
}

const NO_MEMORY: NoMemory = { kind: 'no-memory' }

function toFailure(error: unknown): AppendOutcome {
  return isOutOfMemory(error) ? NO_MEMORY : { kind: 'failed', error: toStoreError(error) }
}
