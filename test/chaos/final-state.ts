import type { StoredAggregates } from '@tidemark/shared/aggregates/reading'
import type { StoredWindow } from '@tidemark/shared/detection/window-row'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { GROUP } from '@tidemark/shared/store/keys'
import { readAlerts } from './alerts.ts'
import { readPartitionStates } from './partition-state.ts'
import { keys, type RedisClient } from './redis-client.ts'
import type { FinalState } from './verifier.ts'

/** Resolves with true when no samples are unprocessed; with false after the timeout. */
export async function waitUntilDrained(redis: RedisClient, partitions: number, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs
  while (performance.now() < deadline) {
    const states = await readPartitionStates(redis, partitions).catch(() => undefined)
    if (states?.every(({ accepted, offset, unprocessed }) => accepted === offset && unprocessed.size === 0) === true)
      return true
    await pause(50)
  }
  return false
}

/** Reads everything that the verifier needs from Redis after the run. */
export async function readFinalState(redis: RedisClient, partitions: number): Promise<FinalState> {
  const all = Array.from({ length: partitions }, (_, partition) => keys.partition(partition))
  const analyses = new Map<string, string>()
  const windows = new Map<string, StoredWindow>()
  const aggregates = new Map<string, StoredAggregates>()
  const dead: { id: string; reason: string }[][] = []
  for (const at of all) {
    for (const [key, analysis] of Object.entries(await redis.hgetall(at.lastAnalysis))) analyses.set(key, analysis)
    const names = await redis.hkeys(at.windows)
    const rows = names.length === 0 ? [] : await redis.hmgetBuffer(at.windows, ...names)
    const tails = names.length === 0 ? [] : await redis.hmgetBuffer(at.windowTails, ...names)
    for (const [i, name] of names.entries()) {
      const row = rows[i]
      if (row != null) windows.set(name, { row, tail: tails[i] ?? null })
    }
    const open = names.length === 0 ? [] : await redis.hmgetBuffer(at.aggregates, ...names)
    for (const [i, name] of names.entries()) {
      const stored = open[i]
      if (stored == null) continue
      const [hours, days] = [at.aggregatesHours, at.aggregatesDays].map(ring => redis.getBuffer(`${ring}:${name}`))
      const rings = { hours: (await hours) ?? Buffer.of(), days: (await days) ?? Buffer.of() }
      aggregates.set(name, { open: stored, window: windows.get(name) ?? null, rings })
    }
    const letters = await redis.xrange(at.deadLetters, '-', '+')
    // A dead letter has the id of its entry, or names it if that id was taken.
    dead.push(letters.map(([id, fields]) => ({ id: fieldOf(fields, 'id') || id, reason: fieldOf(fields, 'reason') })))
  }
  return {
    states: await readPartitionStates(redis, partitions),
    kept: await Promise.all(
      all.map(async ({ samples }) => {
        const entries = await redis.xrange(samples, '-', '+')
        return entries.reduce((sum, [, fields]) => sum + (Number(fieldOf(fields, 'n')) || 0), 0)
      }),
    ),
    pending: await Promise.all(
      all.map(async ({ samples }) => Number(((await redis.xpending(samples, GROUP)) as [number])[0])),
    ),
    dead,
    analyses,
    windows,
    aggregates,
    readAt: Date.now(),
    alerts: await Promise.all(all.map(at => readAlerts(redis, at))),
  }
}

function fieldOf(fields: readonly string[], name: string): string {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) return fields[i + 1] ?? ''
  return ''
}
