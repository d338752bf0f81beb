import { expect } from 'vitest'
import type { z } from 'zod'
import { createTestApp, type TestAppOptions } from './fixture.ts'

/**
 * Creates a client of its own app. Its `read` checks responses against their documented schemas.
 */
export function createTestClient(options: TestAppOptions = {}) {
  const { app, registry } = createTestApp(options)
  async function read<T extends z.ZodType>(response: Response, schema: T, status = 200): Promise<z.output<T>> {
    const content: unknown = await response.json()
    expect([response.status, content]).toEqual([status, expect.anything()])
    return schema.parse(content)
  }
  return {
    registry,
    read,
    /** Sends a body as JSON unless it is a string. */
    async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
      const content = typeof body === 'string' ? body : JSON.stringify(body)
      const type = body === undefined ? {} : { 'Content-Type': 'application/json' }
      return app.request(path, {
        method,
        headers: { ...type, ...headers },
        ...(body === undefined ? {} : { body: content }),
      })
    },
    get: async <T extends z.ZodType>(path: string, schema: T) => read(await app.request(path), schema),
  }
}
