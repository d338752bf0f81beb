import { describe, expect, test } from 'vitest'
import { createTestApp } from './support/fixture.ts'

describe('a load report', () => {
  test.each([
    ['{"timestamp":1700000000,"cpu":12.5,"rps":420}', 2],
    ['{"rps":420}', 1],
    ['{"cpu":12.5}', 1],
    ['{"rps":-5}', 1],
  ])('%s is %d samples of one request', async (body, accepted) => {
    const { post, registry } = createTestApp()
    const response = await post(body)
    expect(response.status).toBe(202)
    expect(await response.json()).toMatchObject({ accepted, rejected: [] })
    expect(await registry.metrics()).toContain('\nmetrics_ingest_total 1\n')
  })

  test.each([
    ['{}', /key is missing|cpu|rps/],
    ['{"timestamp":1700000000}', /key is missing|cpu|rps/],
    ['{"rps":420,"host":"a"}', /host/],
    ['{"rps":null}', /rps/],
  ])('%s is refused with the reason', async (body, reason) => {
    const { post, registry } = createTestApp()
    const response = await post(body)
    expect(response.status).toBe(400)
    expect(await response.text()).toMatch(reason)
    expect(await registry.metrics()).toContain('\nmetrics_ingest_total 0\n')
  })

  test('that is wrong does not keep the others of its array from being stored', async () => {
    const { post } = createTestApp()
    const response = await post('[{"rps":1},{},{"rps":2}]')
    expect(response.status).toBe(202)
    expect(await response.json()).toMatchObject({ accepted: 2, rejected: [{ index: 1 }] })
  })
})
