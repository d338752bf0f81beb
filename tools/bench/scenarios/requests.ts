import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createApiKey } from '@tidemark/shared/access/api-key'
import { formatKeyFile } from '@tidemark/shared/access/key-file'
import { temporaryFolder } from '../../lib/project.ts'
import { findGenerator } from '../generator.ts'
import { runProgram, startFloor } from '../program.ts'
import { startBenchRedis, startMeasuredGateway } from '../stack.ts'
import type { Subject } from '../subject.ts'
import { spentBy } from '../usage.ts'

/** The output of the programs that send samples. */
export interface Sent {
  readonly accepted: number
  readonly failed: number
  readonly perSecond: number
  /** What failed, if that is known. */
  readonly failures?: string
}

/** One sample per request over 64 connections: the gateway with its Redis, and three floors. */
export async function* single(subject: Subject, length: RoundLength) {
  const load = await singleLoad()
  const floors = { http: './floors/http.ts', hono: './floors/hono.ts', durable: './floors/durable.ts' }
  yield* requests(subject, { load, floors, length })
}

async function singleLoad() {
  return ['./load/single.ts', await findGenerator()] as const
}

/** Seconds of a round for each server, and of the load before the first, which warms it up. */
export interface RoundLength {
  readonly seconds: number
  readonly warmUpS: number
}

/** Limits that are applied to each request, and that no load here reaches. */
const LIMITS = { REQUESTS_PER_S_MAX: '1000000', SAMPLES_PER_S_MAX: '1000000' }

/**
 * One sample per request: a gateway with authentication and rate limits, and one without. Both get
 * the same requests, with an API key.
 */
export async function* guarded(subject: Subject, length: RoundLength) {
  await using folder = await temporaryFolder('bench')
  const made = { key_prefix: '', limits: {}, expires_at: null, created_at: null, created_by: '' }
  const { token, record } = createApiKey({ ...made, name: 'bench', scopes: ['ingest'] })
  const file = join(folder.path, 'api-keys')
  await writeFile(file, formatKeyFile([record]))
  const gateways = { open: { AUTH: 'off' }, guarded: { AUTH: 'on', API_KEYS_FILE: file, ...LIMITS } }
  yield* requests(subject, { load: await singleLoad(), floors: {}, gateways, length, arguments: [token] })
}

/** 1,000 samples per request: the gateway with Redis, without, and JSON.parse and zod alone. */
export async function* batches(subject: Subject, length: RoundLength) {
  for await (const round of requests(subject, {
    load: ['./load/batches.ts'],
    floors: { noRedis: './floors/no-redis.ts' },
    length,
  })) {
    yield { ...round, ...(await runProgram<{ parseCpuUs: number }>('./floors/parse.ts')) }
  }
}

interface RequestsOptions {
  /** The program that sends, and what it gets before the port and the seconds. */
  readonly load: readonly [file: string, ...args: string[]]
  /** The programs of the floors, which get the URL of Redis, by the prefix of their measures. */
  readonly floors: Readonly<Record<string, string>>
  /** The settings of each gateway, by the prefix of its measures. */
  readonly gateways?: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly length: RoundLength
  /** What it gets after them. */
  readonly arguments?: readonly string[]
}

async function* requests(subject: Subject, options: RequestsOptions) {
  const { load, floors, gateways = { gateway: {} }, length, arguments: more = [] } = options
  const [file, ...first] = load
  await using redis = await startBenchRedis({ subject })
  await using started = new AsyncDisposableStack()
  const servers: { name: string; pid: number; port: number }[] = []
  for (const [name, file] of Object.entries(floors)) {
    servers.push({ name, ...started.use(await startFloor(file, [redis.url])) })
  }
  for (const [name, settings] of Object.entries(gateways)) {
    servers.push({ name, ...started.use(await startMeasuredGateway(redis, settings)) })
  }

  async function round(forSeconds: number): Promise<Record<string, number>> {
    const measures: Record<string, number> = {}
    for (const { name, pid, port } of servers) {
      const { cpuS, result } = await spentBy({ server: [pid], redis: redis.pids }, () =>
        runProgram<Sent>(file, [...first, port, forSeconds, ...more]),
      )
      if (result.failed > 0) throw new Error(`${result.failed} requests failed: ${result.failures ?? 'of any kind'}`)
      measures[`${name}PerS`] = result.perSecond
      measures[`${name}CpuUs`] = (cpuS.server / result.accepted) * 1e6
      measures[`${name}RedisCpuUs`] = (cpuS.redis / result.accepted) * 1e6
    }
    // No analyzer runs: the backlog would grow from round to round.
    await redis.flush()
    // What is measured first in one round is measured last in the next.
    servers.reverse()
    return measures
  }
  await round(length.warmUpS)
  for (;;) yield await round(length.seconds)
}
