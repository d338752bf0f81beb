import { COMMON_PROBLEMS, json, PROBLEMS } from '../http/documentation.ts'
import { mayUse } from '../http/own-keys.ts'
import { callerOf } from '../http/pipeline.ts'
import { noQuery } from '../http/query.ts'
import { createRoute, createRouter, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { KeyIndex, type KeyRow } from './key-index.ts'
import { serveKeysPage } from './keys-page.ts'
import { createPipelineView } from './pipeline-view.ts'
import { serveRebalances } from './rebalances.ts'
import { overviewSchema } from './schemas.ts'

/** Keys that were analysed longer ago say nothing about the latency. */
const LATENCY_WITHIN_MS = 60_000

const overviewRoute = createRoute({
  method: 'get',
  path: '/overview',
  access: 'read',
  ownKeys: true,
  operationId: 'overview',
  summary: 'The state of keys and pipeline in numbers',
  request: { query: noQuery },
  responses: { 200: json('The state.', overviewSchema), ...PROBLEMS, ...COMMON_PROBLEMS },
})

interface OverviewOptions extends RoutesOptions {
  readonly warnings?: () => readonly string[]
}

/** `GET /overview` and `GET /keys`: what the console begins with. */
export function overviewRoutes(options: OverviewOptions): Router {
  const { services, now, log, metrics, warnings = () => [] } = options
  const router = createRouter('Keys')
  const store = () => services().store
  const onCorrupt = (corrupt: number): void => log.error({ corrupt }, 'left corrupt stored analyses out of the keys')
  const index = new KeyIndex({ store, now, onCorrupt })
  const readPipeline = createPipelineView({ store, metrics, warnings })

  serve(router, overviewRoute, async c => {
    const caller = callerOf(c)
    const [snapshot, pipeline] = await Promise.all([index.read(), caller.keyPrefix === '' ? readPipeline() : null])
    const rows = snapshot.sorted('trouble').filter(({ key }) => mayUse(caller, key))
    return c.json({ as_of: snapshot.at, ...summarize(rows, now()), pipeline })
  })

  serveKeysPage(router, options, index)
  serveRebalances(router, options)
  return router
}

/** `rows` begin with those in trouble. */
function summarize(rows: readonly KeyRow[], now: number) {
  const keys = { total: rows.length, alerting: 0, anomalous: 0, warming: 0, flat: 0, ok: 0 }
  const latencies: number[] = []
  for (const { state, alert, analyzedAt, latencyMs } of rows) {
    if (alert !== null) keys.alerting++
    if (state in keys) keys[state as 'ok']++
    if (analyzedAt > now - LATENCY_WITHIN_MS) latencies.push(latencyMs)
  }
  latencies.sort((a, b) => a - b)
  const [first] = rows
  // A critical alert comes before a warning, however far the values are.
  const critical = rows.find(({ alert }) => alert?.severity === 'critical')
  const worst = critical ?? first
  return {
    keys,
    worst: worst?.alert ? { key: worst.key, since: worst.alert.opened_at, z: worst.z, value: worst.value } : null,
    latency_p95_ms: latencies[Math.ceil(0.95 * latencies.length) - 1] ?? null,
  }
}
