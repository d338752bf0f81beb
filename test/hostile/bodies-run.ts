import { Agent, request } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { isOwnTimestamp } from '@tidemark/shared/sample/arrival'
import { SAMPLE_STRIDE, unpackSamples } from '@tidemark/shared/sample/entry'
import { parseReceipt } from '@tidemark/shared/sample/receipt'
import { keysUnder } from '@tidemark/shared/store/keys'
import { Random } from '@tidemark/testkit/random'
import { startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { startGateway } from '@tidemark/tools/stack/service-process'
import { createItems, type SentSample } from './bodies-batch.ts'
import { type DamagedBody, damageBody, truncatedBody } from './bodies-damage.ts'

const KEYS = keysUnder('tm')
const ITEMS_MAX = 12

export interface FuzzResult {
  readonly bodies: number
  readonly stored: number
  /** Bodies of each kind of damage, however they were sent. */
  readonly damages: ReadonlyMap<string, number>
  /** Sentences; the first ones, because one fault causes many. */
  readonly violations: readonly string[]
}

const VIOLATIONS_MAX = 20

interface IngestResponse {
  readonly status: number
  readonly body: {
    readonly accepted?: number
    readonly receipts?: readonly string[]
    readonly rejected?: readonly { readonly reason: string }[]
    readonly detail?: string
  }
}

/**
 * Sends `size` random batches with one damage each to a gateway, and compares the entries in Redis
 * with what was sent: every intact sample once, nothing that was not sent, and each damage named.
 */
export async function fuzzBodies(
  size: number,
  seed: number,
  onProgress: (bodies: number, violations: number) => void = () => {},
): Promise<FuzzResult> {
  await using redis = await startRedis()
  // Each body has keys of its own.
  const limits = { IDEMPOTENCY_KEYS_MAX: '10000000', KEYS_MAX: '1000000000' }
  await using gateway = await startGateway({ REDIS_URL: redis.url, ...limits })
  const client = rawClient(redis.url)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const random = new Random(seed)
  const damages = new Map<string, number>()
  const violations: string[] = []
  let serials = 0
  let stored = 0
  try {
    for (let i = 0; i < size && violations.length < VIOLATIONS_MAX; i++) {
      const items = createItems(random, random.integer(1, ITEMS_MAX), () => ++serials)
      const body = random.uniform() < 0.05 ? truncatedBody(items, random) : damageBody(items, random)
      damages.set(body.damage, (damages.get(body.damage) ?? 0) + 1)
      const response = await postUntilKnown(body, `${seed}-${i}`)
      const entries = await storedSamples(response.body.receipts ?? [])
      stored += entries.length
      const found = check(body, response, entries)
      if (found.length > 0) {
        violations.push([`body ${i} (${body.damage})`, ...found, JSON.stringify(body.bytes.toString())].join('\n    '))
      }
      onProgress(i + 1, violations.length)
    }
    const accepted = await acceptedSamples()
    if (accepted !== stored) violations.push(`${accepted} samples were stored, but the responses name ${stored}`)
  } finally {
    agent.destroy()
    client.disconnect()
  }
  return { bodies: [...damages.values()].reduce((a, b) => a + b, 0), stored, damages, violations }

  /** Retries after an outage, such as of a store on a busy machine; the key makes that safe. */
  async function postUntilKnown(body: DamagedBody, key: string): Promise<IngestResponse> {
    const headers = { ...body.headers, 'Idempotency-Key': key }
    for (;;) {
      const response = await post(gateway.port, agent, { ...body, headers })
      if (response.status !== 503) return response
      await pause(200)
    }
  }

  /** Returns the samples of the entries that a response names. No other request runs meanwhile. */
  async function storedSamples(receipts: readonly string[]): Promise<SentSample[]> {
    const samples: SentSample[] = []
    for (const text of receipts) {
      const receipt = parseReceipt(text)
      if (receipt === undefined) throw new Error(`not a receipt: ${text}`)
      const [entry] = await client.xrange(KEYS.partition(receipt.partition).samples, receipt.id, receipt.id)
      const fields = entry?.[1] ?? []
      const unpacked = unpackSamples(fields[fields.indexOf('s') + 1] ?? '')
      if (unpacked.kind === 'unreadable') throw new Error(unpacked.reason)
      const flat = unpacked.samples
      for (let at = 0; at < flat.length; at += SAMPLE_STRIDE) {
        const timestamp = Number(flat[at + 2])
        const own = isOwnTimestamp(timestamp) ? timestamp : undefined
        samples.push({ key: String(flat[at]), value: Number(flat[at + 1]), timestamp: own })
      }
    }
    return samples
  }

  async function acceptedSamples(): Promise<number> {
    let sum = 0
    for (let partition = 0; partition < 16; partition++) {
      sum += Number((await client.get(KEYS.partition(partition).accepted)) ?? 0)
    }
    return sum
  }
}

/** Says how a response and what was stored differ from what must come of a body. */
function check(body: DamagedBody, { status, body: result }: IngestResponse, stored: readonly SentSample[]): string[] {
  const violations: string[] = []
  const { rejected = [], accepted = 0, detail = '' } = result
  const left = new Map<string, number>()
  for (const sample of stored) left.set(format(sample), (left.get(format(sample)) ?? 0) + 1)
  const take = (sample: SentSample): boolean => {
    const count = left.get(format(sample)) ?? 0
    left.set(format(sample), count - 1)
    return count > 0
  }
  for (const sample of body.intact) if (!take(sample)) violations.push(`${format(sample)} is not stored`)
  const getsArrival = rejected.some(({ reason }) => reason.includes('time of arrival'))
  for (const sample of body.doubtful) {
    if ((left.get(format(sample)) ?? 0) > 0) take(sample)
    else if (getsArrival && (left.get(format({ ...sample, timestamp: undefined })) ?? 0) > 0)
      take({ ...sample, timestamp: undefined })
  }
  for (const [sample, count] of left)
    if (count > 0) violations.push(`${sample} is stored, but was not sent or is damaged`)
  if (stored.length !== accepted)
    violations.push(`${accepted} are said to be accepted, but ${stored.length} are stored`)
  if (status !== (accepted > 0 ? 202 : 400)) violations.push(`responded ${status}: ${detail}`)
  if (body.isNamed && rejected.length === 0 && status === 202) violations.push('the damage is not named')
  if (!body.isNamed && status === 202 && rejected.length > 0)
    violations.push(`rejects what is intact: ${rejected[0]?.reason}`)
  if (status === 400 && detail === '') violations.push('the problem has no detail')
  return violations
}

function format({ key, value, timestamp }: SentSample): string {
  return JSON.stringify([key, value, timestamp ?? null])
}

function post(port: number, agent: Agent, { bytes, headers, packetBytes }: DamagedBody): Promise<IngestResponse> {
  return new Promise((resolve, reject) => {
    const length = { 'Content-Length': bytes.byteLength }
    const options = {
      host: '127.0.0.1',
      port,
      agent,
      method: 'POST',
      path: '/ingest',
      headers: { ...headers, ...length },
    }
    const outgoing = request(options, incoming => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('error', reject)
      incoming.on('end', () => {
        resolve({ status: incoming.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) })
      })
    })
    outgoing.setNoDelay(true)
    outgoing.on('error', reject)
    if (packetBytes === undefined) outgoing.end(bytes)
    else void trickle(packetBytes).catch(reject)

    async function trickle(size: number): Promise<void> {
      for (let at = 0; at < bytes.byteLength; at += size) {
        outgoing.write(bytes.subarray(at, at + size))
        // What is written in one turn may become one packet.
        await nextTurn()
      }
      outgoing.end()
    }
  })
}
