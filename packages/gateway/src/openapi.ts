import { z } from 'zod'
import type { GatewayConfig } from './config.ts'
import { ALERTS_COMPONENTS, alertsPaths } from './openapi/alerts.ts'
import { DEAD_COMPONENTS, deadPaths } from './openapi/dead.ts'
import { OPERATIONS_COMPONENTS, operationsPaths } from './openapi/operations.ts'
import { type Json, problemSchema } from './openapi/parts.ts'
import { RULES_COMPONENTS, rulesPaths } from './openapi/rules.ts'
import { SAMPLES_COMPONENTS, samplesPaths } from './openapi/samples.ts'
import { VERDICTS_COMPONENTS, verdictsPaths } from './openapi/verdicts.ts'

const COMPONENTS = {
  ...SAMPLES_COMPONENTS,
  ...VERDICTS_COMPONENTS,
  ...RULES_COMPONENTS,
  ...ALERTS_COMPONENTS,
  ...DEAD_COMPONENTS,
  ...OPERATIONS_COMPONENTS,
  Problem: problemSchema,
} as const

/** The OpenAPI 3.1 document. Its schemas are those that judge the bodies, so the two cannot differ. */
export function createOpenApi(config: GatewayConfig): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tidemark',
      version: '1',
      description:
        'Anomaly verdicts on streaming metrics. Errors are RFC 9457 problems. A 4xx says that the same request can never ' +
        'succeed; whatever passes by itself is 503 with a Retry-After in seconds.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [],
    paths: {
      ...samplesPaths(config),
      ...verdictsPaths(config),
      ...rulesPaths(),
      ...alertsPaths(),
      ...deadPaths(),
      ...operationsPaths(),
    },
    components: { schemas: componentSchemas() },
  }
}

function componentSchemas(): Json {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(COMPONENTS)) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, {
    io: 'input',
    unrepresentable: 'any',
    uri: id => `#/components/schemas/${id}`,
  })
  // The document says which dialect it is, and a schema's place is its identity.
  return Object.fromEntries(Object.entries(schemas).map(([id, { $schema, $id, ...schema }]) => [id, schema]))
}
