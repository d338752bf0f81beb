import { createRouter, type Router } from '../http/router.ts'
import { serveAnalyze, type VerdictsOptions } from './analyze.ts'
import { serveHistory } from './history.ts'

/** `GET /analyze` and `GET /history`. */
export function verdictsRoutes(options: VerdictsOptions): Router {
  const router = createRouter('Verdicts')
  serveAnalyze(router, options)
  serveHistory(router, options)
  return router
}
