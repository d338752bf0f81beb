import { pause } from '@tidemark/shared/runtime/lifecycle'
import { readScript, scriptNames } from '@tidemark/shared/store/redis/lua-source'
import { Redis } from 'ioredis'
import { formatTable } from '../../lib/table.ts'
import { startService } from '../../stack/service-process.ts'
import { REQUEST_SAMPLES } from '../filler.ts'
import { startFloor } from '../program.ts'
import { requestBody } from '../signal.ts'
import { drained, startBenchRedis } from '../stack.ts'
import type { Subject } from '../subject.ts'
import { spentBy } from '../usage.ts'

const KEYS = 1000

/** What a start and the last samples cause: first reports, rebalances, the checks of new keys. */
const SETTLED_AFTER_MS = 15_000

/** How long each command of Redis is recorded, by the name of its script. */
const RECORDED_MS = 20_000

/**
 * One gateway, one analyzer and one Redis with the shipped settings, after their last sample. CPU
 * is a share of one core. `commandsPerS` are the calls of clients, `executedPerS` also those of
 * scripts. The calls of the first round are printed by name. The floor is another Redis and a bare
 * process for each of the others.
 */
export async function* idle(subject: Subject, seconds: number) {
  await using redis = await startBenchRedis({ subject })
  const { REDIS_URL } = redis.env
  const { root, settings } = subject
  await using analyzer = await startService('analyzer', { REDIS_URL, ...settings }, { root })
  const open = { AUTH: 'off', ...settings }
  const ready = { root, readyAt: ['listening', 'store is open'] }
  await using gateway = await startService('gateway', { REDIS_URL, ...open }, ready)
  const body = requestBody({ samples: REQUEST_SAMPLES, keys: KEYS, seed: 1 })
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`http://127.0.0.1:${gateway.port}/ingest`, { method: 'POST', headers, body })
  if (response.status !== 202) throw new Error(`the samples were not accepted: ${await response.text()}`)
  await using bareRedis = await startBenchRedis()
  await using one = await startFloor('./floors/pinging.ts', [bareRedis.url])
  await using other = await startFloor('./floors/pinging.ts', [bareRedis.url])
  await drained(redis)
  await pause(SETTLED_AFTER_MS)
  const executed = async (): Promise<number> =>
    Number(/total_commands_processed:(\d+)/.exec(await redis.client.info('stats'))?.[1])
  for (let isFirst = true; ; isFirst = false) {
    const bare = [...bareRedis.pids, one.pid, other.pid]
    const groups = { redis: redis.pids, gateway: [gateway.pid], analyzer: [analyzer.pid], bare }
    const before = await executed()
    const { cpuS, seconds: took } = await spentBy(groups, () => pause(seconds * 1000))
    // The last INFO counts itself only when it has ended.
    const executedPerS = ((await executed()) - before - 1) / took
    const { calls, recordedS } = await recordCalls(REDIS_URL)
    const commandsPerS = calls.values().reduce((sum, count) => sum + count, 0) / recordedS
    if (isFirst) process.stdout.write(`\n${tableOf(calls, recordedS)}\n`)
    const share = (cpu: number): number => (100 * cpu) / took
    yield {
      cpuPercent: share(cpuS.redis + cpuS.gateway + cpuS.analyzer),
      redisPercent: share(cpuS.redis),
      gatewayPercent: share(cpuS.gateway),
      analyzerPercent: share(cpuS.analyzer),
      barePercent: share(cpuS.bare),
      commandsPerS,
      executedPerS,
    }
  }
}

/** Counts the calls of clients for a while, by command, or by script. */
async function recordCalls(url: string) {
  const names = new Map(scriptNames().map(name => [readScript(name).sha, name]))
  const calls = new Map<string, number>()
  const client = new Redis(url)
  const monitor = await client.monitor()
  const begin = performance.now()
  monitor.on('monitor', (_time: string, [command = '', first = '']: readonly string[], source: string) => {
    if (source === 'lua') return
    const name = names.get(first) ?? command.toLowerCase()
    calls.set(name, (calls.get(name) ?? 0) + 1)
  })
  await pause(RECORDED_MS)
  monitor.disconnect()
  client.disconnect()
  return { calls, recordedS: (performance.now() - begin) / 1000 }
}

function tableOf(calls: ReadonlyMap<string, number>, recordedS: number): string {
  const rows = [...calls].toSorted(([, a], [, b]) => b - a).map(([name, n]) => [name, (n / recordedS).toFixed(2)])
  return formatTable(['calls of an idle stack', 'a second'], rows, { align: 'right' })
}
