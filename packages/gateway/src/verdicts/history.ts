import { z } from '@hono/zod-openapi'
import { ratesOf } from '@tidemark/shared/detection/detectors/counter'
import { decodeWindow } from '@tidemark/shared/detection/window-row'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { parseAnalysis } from '@tidemark/shared/verdict/analysis'
import type { GatewayConfig } from '../config.ts'
import { json, PROBLEMS, problem } from '../http/documentation.ts'
import { requireKey } from '../http/own-keys.ts'
import { callerOf } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { keyParameter } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { historySchema } from './schemas.ts'

const EXAMPLE = { key: 'edge-17/rps', count: 2, values: [410, 420], timestamps: [1_700_000_000_000, 1_700_000_001_000] }

function historyRoute({ KEY_BYTES_MAX }: GatewayConfig) {
  return createRoute({
    method: 'get',
    path: '/history',
    access: 'read',
    ownKeys: true,
    operationId: 'history',
    summary: "A key's window: the values that its next verdict is based on",
    request: { query: z.strictObject({ key: keyParameter(KEY_BYTES_MAX) }) },
    responses: {
      200: json('The window.', historySchema, { window: EXAMPLE }),
      ...PROBLEMS,
      404: problem('No sample of the key has been analysed.', 'key-unknown'),
    },
  })
}

export function serveHistory(router: Router, { config, services }: RoutesOptions): void {
  serve(router, historyRoute(config), async c => {
    const { key } = c.req.valid('query')
    requireKey(callerOf(c), key)
    const { store } = services()
    const at = { partition: partitionOf(key, store.partitions), key }
    // As the samples were analysed, which need not be the rule in force now.
    const [stored, [newest]] = await Promise.all([store.gateway.window(at), store.gateway.lastAnalyses([at])])
    if (stored === null) throw new RequestFault({ kind: 'key-unknown' })
    const window = decodeWindow(stored)
    if (window === undefined) throw new Error(`the stored window of the key ${JSON.stringify(key)} is corrupt`)
    const { count, values, timestamps } = window
    const { rate, unit } = (newest == null ? undefined : parseAnalysis(newest)) ?? {}
    const rates = rate === undefined ? {} : { rates: ratesOf(values, timestamps) }
    return c.json({ key, count, values, timestamps, ...rates, ...(unit !== undefined && { unit }) })
  })
}
