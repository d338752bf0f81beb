import type { Context } from 'hono'
import { z } from 'zod'
import type { GatewayConfig } from '../config.ts'
import { keyParameter, readQuery } from '../http/query.ts'
import type { Services } from '../services.ts'
import type { RuleSets } from './rule-sets.ts'
import { explanationWords } from './view.ts'

export interface ExplanationOptions {
  readonly config: GatewayConfig
  readonly services: () => Services
  readonly ruleSets: RuleSets
  /** Unix milliseconds. */
  readonly now: () => number
}

/** `GET /rules/explain?key=`: which rule is in force for a key, whether it has sent anything or not, and why that one. */
export function createExplanation(options: ExplanationOptions): (c: Context) => Promise<Response> {
  const { config, services, ruleSets, now } = options
  const query = z.strictObject({ key: keyParameter(config.KEY_BYTES_MAX) })
  return async c => {
    const { key } = readQuery(c, query)
    const { document, set } = await ruleSets(services().store.rules)
    return c.json(explanationWords(set.explain(key, now()), document))
  }
}
