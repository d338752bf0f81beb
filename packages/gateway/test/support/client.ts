import { expect } from 'vitest'
import type { z } from 'zod'
import { createTestApp, type TestAppOptions } from './fixture.ts'

/** A client of an app of its own; answers that it reads are as the documentation has them. */
export function createTestClient(options: TestAppOptions = {}) {
  const { app, registry } = createTestApp(options)
  async function read<T extends z.ZodType>(response: Response, schema: T, status = 200): Promise<z.output<T>> {
    const answer: unknown = await response.json()
    expect([response.status, answer]).toEqual([status, expect.anything()])
    return schema.parse(answer)
  }
  return {
    registry,
    read,
    /** A body that is no string is sent as JSON. */
    async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
      const content = typeof body === 'string' ? body : JSON.stringify(body)
      return app.request(path, { method, headers, ...(body === undefined ? {} : { body: content }) })
    },
    get: async <T extends z.ZodType>(path: string, schema: T) => read(await app.request(path), schema),
  }
}
