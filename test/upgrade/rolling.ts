import { isDeepStrictEqual } from 'node:util'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { Random } from '@tidemark/testkit/random'
import { type RedisFixture, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { ROOT } from '@tidemark/tools/lib/project'
import { type Service, startService } from '@tidemark/tools/stack/service-process'
import { readPartitionStates } from '../chaos/partition-state.ts'
import { PREFIX } from '../chaos/redis-client.ts'
import { LISTENING } from '../support/service-messages.ts'
import { Load, type StoredSample } from './load.ts'
import type { ReleasedVersion } from './released.ts'

const PARTITIONS = 8
const WRITERS = 4
const KEYS_PER_WRITER = 15

/** Differences of rounding between two versions' formulas for the same verdict. */
const TOLERANCE = 1e-9

/** Only a fault lasts so long. */
const GIVEN_UP_AFTER_MS = 100_000

/** Violations that are kept. */
const VIOLATIONS_MAX = 20

const SETTINGS = {
  REDIS_PREFIX: PREFIX,
  PARTITIONS: String(PARTITIONS),
  HEARTBEAT_MS: '100',
  LEASE_TTL_MS: '1500',
  IDEMPOTENCY_TTL_MS: '3600000',
  VERDICTS_KEPT: '10000000',
  ALERTS_KEPT: '1000000',
}

export interface RollingOptions {
  readonly seed: number
  readonly release: ReleasedVersion
  /** How often all processes are replaced: by this version, by the release, by this version... */
  readonly rollouts: number
  /** Samples that must be stored between two replacements. */
  readonly samplesBetween: number
  /** Milliseconds between two requests of a writer. */
  readonly everyMs: number
  readonly onProgress?: (text: string) => void
}

export interface RollingResult {
  readonly violations: readonly string[]
  readonly samples: number
  readonly replaced: number
  readonly killed: number
}

type Role = 'gateway' | 'analyzer'

interface Slot {
  readonly role: Role
  readonly index: number
  version: string
  service: Service
}

/**
 * Replaces the processes of a deployment one by one under load, by those of another version and
 * back, and checks every verdict. Some processes are stopped, others killed.
 */
export async function roll(options: RollingOptions): Promise<RollingResult> {
  const { release, seed } = options
  const random = new Random(seed)
  const violations: string[] = []
  const violation = (text: string): void => void (violations.length < VIOLATIONS_MAX && violations.push(text))
  await using resources = new AsyncDisposableStack()
  const redis = resources.use(await startRedis())
  const client = rawClient(redis.url)
  resources.defer(() => client.disconnect())
  const slots: Slot[] = []
  resources.defer(async () => void (await Promise.all(slots.map(async ({ service }) => service.child.stop()))))
  const start = (role: Role, index: number, version: string) =>
    startOne({ role, index, version }, redis, release, violation)
  for (const index of [0, 1]) {
    for (const role of ['gateway', 'analyzer'] as const) {
      slots.push({ role, index, version: release.name, service: await start(role, index, release.name) })
    }
  }
  const ports = (): number[] => slots.flatMap(({ role, service }) => (role === 'gateway' ? [service.port] : []))
  await putRule(ports()[0] ?? 0)

  const load = new Load({
    seed,
    ports,
    partitions: PARTITIONS,
    writers: WRITERS,
    keysPerWriter: KEYS_PER_WRITER,
    everyMs: options.everyMs,
  })
  const counts = { replaced: 0, killed: 0 }
  for (let rollout = 0; rollout < options.rollouts; rollout++) {
    const version = rollout % 2 === 0 ? 'this version' : release.name
    for (const slot of random.shuffled(slots)) {
      options.onProgress?.(`${load.count} samples, ${slot.role} ${slot.index} becomes ${version}`)
      const before = slot.service
      // A number of its own for each process: two analyzers must not have one name.
      slot.service = await start(slot.role, slot.index + 2 * (rollout + 1), version)
      slot.version = version
      if (random.uniform() < 0.3) {
        before.child.kill()
        counts.killed++
      } else await stop(before, violation)
      counts.replaced++
      const from = load.count
      await eventually(() => {
        if (load.count < from + options.samplesBetween) throw new Error('the samples are not stored')
      })
      for (const port of ports()) await checkNewest(load, port)
    }
  }
  await load.end()
  await eventually(async () => {
    const states = await readPartitionStates(client, PARTITIONS)
    const waiting = states.filter(({ accepted, offset, unprocessed }) => accepted !== offset || unprocessed.size > 0)
    if (waiting.length > 0) throw new Error(`not analysed: ${JSON.stringify(waiting)}`)
  })
  options.onProgress?.(`${load.count} samples, checking all verdicts`)
  await checkReplay(load, ports(), async () => sum(await readPartitionStates(client, PARTITIONS)), violation)
  await checkVerdicts(load, ports()[0] ?? 0, violation)
  await checkRule(ports()[0] ?? 0, violation)
  for (const { service } of slots) await stop(service, violation)
  return { violations, samples: load.count, ...counts }
}

async function startOne(
  { role, index, version }: Omit<Slot, 'service'>,
  redis: RedisFixture,
  release: ReleasedVersion,
  violation: (text: string) => void,
): Promise<Service> {
  const name = `${role} ${index} (${version})`
  const isRelease = version === release.name
  const env = { ...SETTINGS, REDIS_URL: redis.url, ...(role === 'analyzer' && { ANALYZER_ID: `analyzer-${index}` }) }
  const onLine = (line: string): void => {
    if (/"level":"(?:error|fatal)"/.test(line)) violation(`${name} logged an error: ${line}`)
  }
  const service = await startService(role, env, {
    onLine,
    readyAt: [LISTENING],
    root: isRelease ? release.root : ROOT,
  })
  const port = role === 'gateway' ? service.port : service.metricsPort
  await eventually(async () => {
    const { status } = await fetch(`http://127.0.0.1:${port}/readyz`)
    if (status !== 200) throw new Error(`${name} is not ready`)
  })
  return service
}

async function stop({ child }: Service, violation: (text: string) => void): Promise<void> {
  await child.stop()
  const { code } = await child.exited
  if (code !== 0) violation(`${child.name} exited with code ${code} after SIGTERM:\n${child.lines.join('\n')}`)
}

/** Requests the verdict on a sample that was stored a moment ago, whichever version analyses it. */
async function checkNewest(load: Load, port: number): Promise<void> {
  const [key, samples] = [...load.stored].at(-1) ?? ['', []]
  const receipt = samples.at(-1)?.receipt
  await eventually(async () => {
    const query = new URLSearchParams({ key, after: receipt ?? '', wait: '10000' })
    const response = await fetch(`http://127.0.0.1:${port}/analyze?${query}`)
    if (response.status !== 200) throw new Error(`GET /analyze: ${response.status} ${await response.text()}`)
    await response.text()
  })
}

type Verdict = Readonly<Record<string, unknown>> & { readonly key: string }

/** Every stored sample has one verdict, that of the oracle, in the order of its key's samples. */
async function checkVerdicts(load: Load, port: number, violation: (text: string) => void): Promise<void> {
  const found = new Map<string, Verdict[]>()
  const receipts = new Set(load.requests.flatMap(request => request.receipts))
  for (const receipt of receipts) {
    const response = await fetch(`http://127.0.0.1:${port}/analyze?after=${receipt}`)
    if (response.status !== 200) {
      violation(`GET /analyze?after=${receipt}: ${response.status} ${await response.text()}`)
      continue
    }
    const { analyses } = (await response.json()) as { analyses: Verdict[] }
    for (const analysis of analyses) {
      const at = `${receipt} ${analysis.key}`
      found.set(at, [...(found.get(at) ?? []), analysis])
    }
  }
  for (const [key, samples] of load.stored) {
    for (const [i, { receipt }] of samples.entries()) {
      const until = withoutReceipts(samples.slice(Math.max(0, i - VERDICT_DEFAULTS.window), i + 1))
      const verdicts = found.get(`${receipt} ${key}`) ?? []
      const analysis = { ...oracleAnalysis(key, until, VERDICT_DEFAULTS), count: i + 1 }
      const [verdict] = verdicts
      if (verdicts.length !== 1 || verdict === undefined || !isClose(verdict, analysis)) {
        violation(
          `sample ${i} of ${key} in ${receipt} has the verdicts ${JSON.stringify(verdicts)}, not ${JSON.stringify(analysis)}`,
        )
        break
      }
    }
  }
}

function withoutReceipts(samples: readonly StoredSample[]): { value: number; timestamp: number }[] {
  return samples.map(({ value, timestamp }) => ({ value, timestamp }))
}

/** Whether a verdict has the members of the oracle's, but for rounding. */
function isClose(verdict: Verdict, expected: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(expected).every(([name, value]) => {
    const one = verdict[name]
    if (typeof value !== 'number' || typeof one !== 'number') return isDeepStrictEqual(one, value)
    return Math.abs(one - value) <= TOLERANCE * Math.max(1, Math.abs(value))
  })
}

/** Requests that are sent again get their first receipts, whichever version stored them. */
async function checkReplay(
  load: Load,
  ports: readonly number[],
  accepted: () => Promise<number>,
  violation: (text: string) => void,
): Promise<void> {
  const before = await accepted()
  const step = Math.max(1, Math.floor(load.requests.length / 200))
  for (let i = 0; i < load.requests.length; i += step) {
    const request = load.requests[i]
    if (request === undefined) break
    const again = await load.repeat(request, ports[i % ports.length] ?? 0)
    if (again.join() !== request.receipts.join()) {
      violation(`the request ${request.id} sent again got ${again.join()}, first ${request.receipts.join()}`)
    }
  }
  const added = (await accepted()) - before
  if (added !== 0) violation(`requests that were sent again added ${added} samples`)
  if (before !== load.count) violation(`Redis counts ${before} samples, and ${load.count} were stored`)
}

function sum(states: readonly { readonly accepted: number }[]): number {
  return states.reduce((total, { accepted }) => total + accepted, 0)
}

const RULE = { id: 'kept', pattern: 'edge-0/*', alert: { resolve_after: '1s' } }

async function putRule(port: number): Promise<void> {
  const { id, ...rule } = RULE
  const body = JSON.stringify({ rule, who: 'ada', why: 'test' })
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`http://127.0.0.1:${port}/rules/${id}`, { method: 'PUT', headers, body })
  if (response.status >= 300) throw new Error(`PUT /rules/${id}: ${response.status} ${await response.text()}`)
  await response.text()
}

async function checkRule(port: number, violation: (text: string) => void): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/rules/${RULE.id}`)
  const text = await response.text()
  if (response.status !== 200 || !text.includes(RULE.pattern))
    violation(`GET /rules/${RULE.id}: ${response.status} ${text}`)
}

/** Repeats `check` until it does not throw. */
async function eventually(check: () => void | Promise<void>): Promise<void> {
  const deadline = performance.now() + GIVEN_UP_AFTER_MS
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await pause(20)
  }
}
