import { newNonce } from '../../sample/entry.ts'
import { StoreError } from '../ports/errors.ts'
import type { AppendBatch, AppendOutcome, GatewayStore } from '../ports/gateway.ts'
import type { DurabilityLevel } from '../ports/store.ts'
import { createConfirmedAppend } from './confirmed-append.ts'
import { type Client, connect, eachInOneWrite } from './connection.ts'
import { DurabilityGuard } from './durability-guard.ts'
import { isOutOfMemory, toStoreError } from './errors.ts'
import { readScript } from './lua-source.ts'
import { bulkString, callScript, type EncodedArguments } from './script-call.ts'
import type { StoreContext } from './scripts.ts'

/** Claims and batches are remembered in one hash: CLAIM of gateway-store.ts is the other prefix. */
const BATCH = 'batch:'

/** The part of a command's timeout that a replica has to confirm. */
const CONFIRM_SHARE = 0.25

const plainScript = readScript('append')
const onceScript = readScript('append-once')

/** Creates the `append` for the configured durability. Rejects with a DurabilityMismatch. */
export async function createAppend(
  { client, keys, options }: StoreContext,
  partitions: number,
): Promise<Pick<GatewayStore, 'append'> & { durability: () => DurabilityLevel } & AsyncDisposable> {
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

  let append: GatewayStore['append'] = batches => eachInOneWrite(client, batches, batch => appendOne(client, batch))

  if (durability?.level === 'replicated') {
    const own = await connect(options)
    opening.defer(() => own.disconnect())
    append = await createConfirmedAppend({
      client: own,
      partitionKeys: Array.from({ length: partitions }, (_, partition) => keys.partition(partition).samples),
      timeoutMs: Math.ceil(commandTimeoutMs * CONFIRM_SHARE),
      appendOne,
    })
  }
  let guard: DurabilityGuard | undefined
  if (durability !== undefined) {
    const started = opening.use(await DurabilityGuard.start({ client, ...durability }))
    guard = started
    const appendUnguarded = append
    append = async batches => {
      const { fault } = started
      if (fault === undefined) return appendUnguarded(batches)
      return batches.map(() => ({ kind: 'failed', error: new StoreError(fault, { kind: 'refused' }) }))
    }
  }
  const resources = opening.move()
  return { append, durability: () => guard?.level ?? 'local', [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

function toAppendOutcome(reply: unknown): AppendOutcome {
  const [status, detail] = reply as [string, string | number]
  if (status === 'stored' || status === 'known') return { kind: status, id: String(detail) }
  return status === 'backlog-full'
    ? { kind: status, backlog: Number(detail) }
    : { kind: 'limit-reached', roomInMs: Math.max(0, Number(detail)) }
}

function toFailure(error: unknown): AppendOutcome {
  return isOutOfMemory(error) ? { kind: 'no-memory' } : { kind: 'failed', error: toStoreError(error) }
}

/** Encodes an append's arguments. The samples, most of the bytes, are written once. */
function appendArguments(samples: string, rest: readonly string[]): EncodedArguments {
  return {
    count: 1 + rest.length,
    after(head) {
      const samplesBytes = Buffer.byteLength(samples)
      const before = `${head}$${samplesBytes}\r\n`
      const behind = `\r\n${rest.map(bulkString).join('')}`
      const bytes = Buffer.allocUnsafe(Buffer.byteLength(before) + samplesBytes + Buffer.byteLength(behind))
      let end = bytes.write(before)
      end += bytes.write(samples, end)
      bytes.write(behind, end)
      return bytes
    },
  }
}
