import { z } from 'zod'
import { type Json, ref } from './parts.ts'

const statusSchema = z.strictObject({ status: z.enum(['ok', 'unavailable']), reason: z.string().optional() })

export const OPERATIONS_COMPONENTS = { Status: statusSchema } as const

export function operationsPaths(): Json {
  return {
    '/health': {
      get: describeStatus('health', 'The same as /readyz, under the name that the replaced service used.'),
    },
    '/livez': { get: describeStatus('livez', 'Whether the process answers. It does not depend on the store.') },
    '/readyz': { get: describeStatus('readyz', 'Whether samples can be taken.') },
    '/metrics': {
      get: {
        operationId: 'metrics',
        tags: ['Operations'],
        summary: "The gateway's metrics, in the text format of Prometheus",
        responses: {
          200: { description: 'The metrics.', content: { 'text/plain': { schema: { type: 'string' } } } },
        },
      },
    },
    '/openapi.json': {
      get: {
        operationId: 'openapi',
        tags: ['Operations'],
        summary: 'This document',
        responses: {
          200: { description: 'The document.', content: { 'application/json': { schema: { type: 'object' } } } },
        },
      },
    },
    '/docs': {
      get: {
        operationId: 'docs',
        tags: ['Operations'],
        summary: 'This document as a page',
        responses: { 200: { description: 'The page.', content: { 'text/html': { schema: { type: 'string' } } } } },
      },
    },
  }
}

function describeStatus(operationId: string, summary: string): Json {
  const content = { 'application/json': { schema: ref('Status') } }
  const responses: Json = { 200: { description: 'It does.', content } }
  if (operationId !== 'livez') responses[503] = { description: 'It does not; `reason` says why.', content }
  return { operationId, tags: ['Operations'], summary, responses }
}
