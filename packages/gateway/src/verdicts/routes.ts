import { createRouter, type Router } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { serveAggregates } from './aggregates.ts'
import { serveAnalyze } from './analyze.ts'
import { serveAnomalies } from './anomalies.ts'
import { serveHistory } from './history.ts'

/** `GET /analyze`, `GET /history`, `GET /aggregates` and `GET /anomalies`. */
export function verdictsRoutes(options: RoutesOptions): Router {
  const router = createRouter('Verdicts')
  serveAnalyze(router, options)
  serveHistory(router, options)
  serveAggregates(router, options)
  serveAnomalies(router, options)
  return router
}
