import { createRouter, type Router } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { serveAnalyze } from './analyze.ts'
import { serveHistory } from './history.ts'

/** `GET /analyze` and `GET /history`. */
export function verdictsRoutes(options: RoutesOptions): Router {
  const router = createRouter('Verdicts')
  serveAnalyze(router, options)
  serveHistory(router, options)
  return router
}
