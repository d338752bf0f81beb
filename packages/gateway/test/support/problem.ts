import { expect } from 'vitest'
import { problemSchema } from '../../src/http/documentation.ts'

/** Returns the problem of a response, after checking what every problem must have. */
export async function problemOf(response: Response) {
  expect(response.headers.get('Content-Type')).toBe('application/problem+json')
  const problem = problemSchema.parse(await response.json())
  expect(problem.status).toBe(response.status)
  const passes = response.status === 503 || response.status === 429
  if (passes) expect(response.headers.get('Retry-After')).toMatch(/^[1-9]\d*$/)
  else expect(response.headers.get('Retry-After')).toBeNull()
  return problem
}
