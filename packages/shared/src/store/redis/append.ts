import { Cluster, ReplyError } from 'ioredis'
import { newNonce } from '../../sample/entry.ts'
import { StoreError } from '../ports/errors.ts'
import type { AppendBatch, AppendOutcome, GatewayStore } from '../ports/gateway.ts'
import type { DurabilityLevel } from '../ports/store.ts'
import { type AppendTo, createConfirmedAppend } from './confirmed-append.ts'
import { type Client, connect, eachInOneWrite, inOneCommand } from './connection.ts'
import { DurabilityGuard } from './durability-guard.ts'
import { isOutOfMemory, toStoreError } from './errors.ts'
import { type LuaScript, readScript } from './lua-source.ts'
import { ArgumentBuffers } from './resp-arguments.ts'
import { callScript } from './script-call.ts'
import type { StoreContext } from './scripts.ts'

/** Claims and batches are remembered in one hash: CLAIM of gateway-store.ts is the other prefix. */
const BATCH = 'batch:'

/**
 * Limits what one command appends, so that others do not wait long for Redis: `max` characters of
 * samples, where each entry counts as `entry` more.
 */
const COMMAND_COST = { max: 262_144, entry: 1000 } as const

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
  const [backlogMax, requestsMax] = [String(options.backlogMax), String(options.requestsMax)]
  const buffers = new ArgumentBuffers()

  function keysFor(partition: number) {
    const own = keysOf[partition]
    if (own === undefined) throw new RangeError(`there is no partition ${partition}`)
    return own
  }

  /** Appends what one command appends. */
  async function send(node: Client, { batches, script, withText }: AppendCommand): Promise<AppendOutcome[]> {
    try {
      const args = buffers.begin('append')
      const nonce = newNonce()
      args.text(backlogMax)
      for (const { samples, count, traces = '' } of batches) {
        args.text(samples)
        args.number(count)
        args.text(nonce)
        args.text(traces)
      }
      const once = batches[0]?.once
      if (once !== undefined) for (const one of [BATCH + once.request, String(once.ttlMs), requestsMax]) args.text(one)
      const ofPartitions = batches.flatMap(({ partition }) => keysFor(partition)[once === undefined ? 'plain' : 'once'])
      const reply = await callScript(node, script, ofPartitions, args, { withText })
      // Without a reply, it may be sent again.
      buffers.end('append', args)
      const replies = (once === undefined ? reply : [reply]) as unknown[]
      return batches.map((_, i) => toAppendOutcome(replies[i]))
    } catch (error) {
      const outcome = toFailure(error)
      return batches.map(() => outcome)
    }
  }

  const appendTo: AppendTo = async (node, batches) =>
    (await eachInOneWrite(node, inCommands(client, batches), command => send(node, command))).flat()

  let append: GatewayStore['append'] = batches => appendTo(client, batches)

  if (durability?.level === 'replicated') {
    const own = await connect(options)
    opening.defer(() => own.disconnect())
    append = await createConfirmedAppend({
      client: own,
      partitionKeys: Array.from({ length: partitions }, (_, partition) => keys.partition(partition).samples),
      timeoutMs: Math.ceil(commandTimeoutMs * CONFIRM_SHARE),
      appendTo,
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

interface AppendCommand {
  readonly batches: readonly AppendBatch[]
  readonly script: LuaScript
  readonly withText: boolean
}

/**
 * Returns the commands that append batches, in order. A command that names a script which Redis has
 * forgotten is sent again, and those after it would overtake it: so the first command of each
 * script has its text, unless it is the last one for a server.
 */
function inCommands(client: Client, batches: readonly AppendBatch[]): AppendCommand[] {
  const groups = inOneCommand(client, batches).flatMap(inGroups)
  // Which masters of a cluster have which partitions is not known here.
  const serverOf = ([first]: readonly AppendBatch[]) => (client instanceof Cluster ? first?.partition : undefined)
  const lastOf = new Map(groups.map((group, i) => [serverOf(group), i]))
  const loaded = new Set<string>()
  return groups.map((group, i) => {
    const server = serverOf(group)
    const script = group[0]?.once === undefined ? plainScript : onceScript
    const load = `${script.sha} ${server}`
    const withText = i !== lastOf.get(server) && !loaded.has(load)
    if (withText) loaded.add(load)
    return { batches: group, script, withText }
  })
}

/** Divides batches by what one command may append. One with a request's mark is alone. */
function inGroups(batches: readonly AppendBatch[]): AppendBatch[][] {
  const groups: AppendBatch[][] = []
  let room = 0
  for (const batch of batches) {
    const cost = batch.samples.length + COMMAND_COST.entry
    if (cost > room || batch.once !== undefined) {
      groups.push([batch])
      room = batch.once === undefined ? COMMAND_COST.max : 0
    } else groups.at(-1)?.push(batch)
    room -= cost
  }
  return groups
}

function toAppendOutcome(reply: unknown): AppendOutcome {
  const [status, detail] = reply as [string, string | number]
  switch (status) {
    case 'stored':
    case 'known':
      return { kind: status, id: String(detail) }
    case 'backlog-full':
      return { kind: status, backlog: Number(detail) }
    case 'failed':
      return toFailure(new ReplyError(String(detail)))
    default:
      return { kind: 'limit-reached', roomInMs: Math.max(0, Number(detail)) }
  }
}

function toFailure(error: unknown): AppendOutcome {
  return isOutOfMemory(error) ? { kind: 'no-memory' } : { kind: 'failed', error: toStoreError(error) }
}
