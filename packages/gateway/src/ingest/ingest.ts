import { SamplePacker } from '@tidemark/shared/sample/packer'
import type { Sample } from '@tidemark/shared/sample/sample'
import type { KeyInPartition, RequestMark } from '@tidemark/shared/store/ports/gateway'
import type { Principal } from '../access/principal.ts'
import type { GatewayConfig } from '../config.ts'
import { type Body, createBodyReader } from '../http/body.ts'
import type { Exchange } from '../http/pipeline.ts'
import { type PlainResponse, RequestFault } from '../http/problem.ts'
import { admitSamples } from '../http/rate-limits.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { KeyLimit, RefusedKeys, Services } from '../services.ts'
import { Batch, quote } from './formats/batch.ts'
import { createClaims, readIdempotencyKey } from './idempotency.ts'
import { meanSince } from './means.ts'
import type { Protocol } from './protocol.ts'
import { type ReadBatch, settle } from './settle.ts'

/**
 * The name of a request with an Idempotency-Key. Keys of one tenant must not meet those of another;
 * they have no control characters.
 */
function ownName(key: string, { keyPrefix }: Principal): string {
  return keyPrefix === '' ? key : `${keyPrefix}\n${key}`
}

export interface IngestOptions {
  readonly config: GatewayConfig
  readonly metrics: GatewayMetrics
  /** Unix milliseconds. */
  readonly now: () => number
  /** Throws a RequestFault while the store is not open. */
  readonly services: () => Services
}

type IngestRequest = Pick<Exchange, 'headers' | 'body' | 'trace' | 'principal' | 'client'>

/** Rejects with a RequestFault for what the protocol's own `respond` does not say. */
export type Ingest = (request: IngestRequest, protocol: Protocol) => Promise<PlainResponse>

/**
 * Takes in the samples of a request in any protocol: validates them one by one and responds when
 * the store has confirmed.
 */
export function createIngest({ config, metrics, now, services }: IngestOptions): Ingest {
  const readBody = createBodyReader({ bytesMax: config.BODY_BYTES_MAX, bytesInFlightMax: config.BODIES_BYTES_MAX })
  const limits = {
    samplesMax: config.SAMPLES_MAX,
    keyBytesMax: config.KEY_BYTES_MAX,
    valueAbsMax: config.VALUE_ABS_MAX,
    futureMaxMs: config.FUTURE_MAX_MS,
    template: config.INFLUX_KEY,
  }

  const claim = createClaims({
    ttlMs: config.IDEMPOTENCY_TTL_MS,
    samplesMax: config.QUEUE_SAMPLES_MAX,
    onRejected: metrics.rejected,
  })

  /** Created by the first request: the number of partitions is known once the store is open. */
  let packer: SamplePacker | undefined

  function readBatch(body: Body, protocol: Protocol): Batch {
    const batch = new Batch(limits, now(), protocol.nameOf)
    const fault = protocol.read(body, batch)
    if (fault?.kind === 'malformed') throw new RequestFault({ kind: 'body-malformed', reason: fault.reason })
    if (fault?.kind === 'too-many') throw new RequestFault({ kind: 'samples-too-many', samplesMax: limits.samplesMax })
    return batch
  }

  /** Adds the samples of cumulative series, whose points before are those of all gateways. */
  async function addMeans(batch: Batch, { store, keys }: Services, { client, principal }: IngestRequest) {
    const totals = batch.totals.filter(({ key }) => key.startsWith(principal.keyPrefix))
    const { unknown } = keys.locate(totals)
    // A point is remembered only if its key may exist.
    const sender = { principal, share: client.newKeys, samples: totals.length }
    const refused: RefusedKeys = unknown === undefined ? new Map() : await keys.admit(unknown, sender)
    const before = await Promise.all(
      totals.map(total => (refused.has(total.key) ? undefined : store.totals.advance(total.key, total))),
    )
    for (const [i, total] of totals.entries()) {
      const { key, ms, start, place } = total
      const limit = refused.get(key)
      const mean = meanSince(before[i], total, start)
      if (limit !== undefined) batch.reject(place, 'keys_max', limitReason(key, limit))
      else if (mean !== undefined) batch.addAt(key, mean, ms, place)
    }
  }

  /**
   * Packs the samples of a body if all keys are known, which is nearly always so. Synchronous,
   * because its loops are 20 % slower in an asynchronous function.
   */
  function pack(batch: Batch, protocol: Protocol, { store, keys }: Services, { keyPrefix }: Principal): ReadSamples {
    if (keyPrefix !== '') batch.keepPrefix(keyPrefix)
    packer ??= new SamplePacker(store.partitions)
    const { samples, rejections, indexes, skipped } = batch
    for (const { rule } of rejections) metrics.rejectedBy(protocol.name, rule, 1)
    for (const [reason, count] of skipped) metrics.skippedBy(protocol.name, reason, count)
    const { partitions, unknown } = keys.locate(samples)
    // Spreading an object of these would be an eighth of this function's time.
    if (unknown !== undefined) return { samples, unknown, rejections, skipped, indexes, partitions, keyPrefix }
    for (let i = 0; i < samples.length; i++) packer.add(partitions[i] as number, samples[i] as Sample)
    return { subBatches: packer.take(), rejections, skipped, indexes, partitions, keyPrefix }
  }

  /** Packs the samples of a body without those of refused keys. */
  function packAdmitted(
    { samples, unknown: _, ...read }: UnpackedSamples,
    refused: RefusedKeys,
    { name, nameOf }: Protocol,
  ): ReadBatch {
    const indexes: number[] = []
    const partitions: number[] = []
    const rejections = [...read.rejections]
    for (const [i, sample] of samples.entries()) {
      const index = read.indexes[i] as number
      const limit = refused.size === 0 ? undefined : refused.get(sample.key)
      if (limit === undefined) {
        const partition = read.partitions[i] as number
        packer?.add(partition, sample)
        indexes.push(index)
        partitions.push(partition)
      } else {
        const reason = `${nameOf({ index })} ${limitReason(sample.key, limit)}`
        rejections.push({ index, rule: 'keys_max', reason })
      }
    }
    const rejected = samples.length - indexes.length
    if (rejected > 0) {
      metrics.rejectedBy(name, 'keys_max', rejected)
      rejections.sort((a, b) => a.index - b.index)
    }
    return { ...read, subBatches: packer?.take() ?? [], rejections, indexes, partitions }
  }

  /** Synchronous, unless the store has to decide something. */
  function readRequest(body: Body, intake: Intake): ReadRequest | Promise<ReadRequest> {
    const { request, protocol, opened } = intake
    const batch = readBatch(body, protocol)
    return batch.totals.length === 0
      ? packRequest(body, batch, intake)
      : addMeans(batch, opened, request).then(() => packRequest(body, batch, intake))
  }

  function packRequest(body: Body, batch: Batch, intake: Intake): ReadRequest | Promise<ReadRequest> {
    const { request, protocol, key, opened } = intake
    const read = pack(batch, protocol, opened, request.principal)
    const pending = admitSamples(request, read.indexes.length, metrics)
    return pending === undefined && key === undefined ? { read, once: undefined } : claimed(read, body, intake, pending)
  }

  async function claimed(
    read: ReadSamples,
    body: Body,
    { request: { client, principal }, key, opened }: Intake,
    pending: ReturnType<typeof admitSamples>,
  ): Promise<ReadRequest> {
    await pending
    if (key === undefined) return { read, once: undefined }
    const samples = read.indexes.length
    const once = await claim(opened, { key: ownName(key, principal), ...body, samples, share: client.claims })
    return { read, once }
  }

  return async (request, protocol) => {
    const opened = services()
    const { trace, principal, client } = request
    const intake: Intake = { request, protocol, key: readIdempotencyKey(request.headers), opened }
    const { read, once } = await readBody(request, client.bodies, protocol.typeOf, body => readRequest(body, intake))
    const batch =
      'unknown' in read
        ? packAdmitted(
            read,
            await opened.keys.admit(read.unknown, { principal, share: client.newKeys, samples: read.samples.length }),
            protocol,
          )
        : read
    const { subBatches } = batch
    const isPlain = once === undefined && trace === undefined
    const marked = isPlain ? subBatches : subBatches.map(subBatch => ({ ...subBatch, once, trace }))
    const outcomes = await opened.batcher.submit(marked, client.queue)
    const result = settle(batch, outcomes, protocol, opened, metrics)
    const response = protocol.respond(result)
    // Thrown faults are counted where they are mapped.
    if (response.status >= 400 && result.accepted === 0) metrics.requestFailed('samples-invalid')
    return response
  }
}

/** What the reading of a request's body needs. */
interface Intake {
  readonly request: IngestRequest
  readonly protocol: Protocol
  /** Its Idempotency-Key. */
  readonly key: string | undefined
  readonly opened: Services
}

/** A request without its body, which is garbage before the wait for the store begins. */
interface ReadRequest {
  readonly read: ReadSamples
  readonly once: RequestMark | undefined
}

type ReadSamples = ReadBatch | UnpackedSamples

/** A body with keys that are not known to be registered: they must be admitted first. */
interface UnpackedSamples extends Omit<ReadBatch, 'subBatches'> {
  readonly samples: readonly Sample[]
  readonly unknown: readonly KeyInPartition[]
}

function limitReason(key: string, { setting, max }: KeyLimit): string {
  const whose = setting === 'KEYS_MAX' ? 'the deployment' : 'this API key'
  return `key ${quote(key)} is new, and ${whose} has all ${max} keys that it may have (${setting}): known keys go on. Delete keys, or raise ${setting}`
}
