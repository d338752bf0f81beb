import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { dashboardRows, withValues } from './dashboard.ts'
import { DASHBOARDS } from './load.ts'
import type { Line, Prometheus } from './prometheus.ts'

const range = { from: 1000, to: 1010, step: 2 }

test('the variables of an expression are replaced as in Grafana', () => {
  const expression = 'sum(rate(a_total{job=~"$job",instance=~"$instance"}[$__rate_interval]))'
  expect(withValues(expression, 'gateway')).toBe('sum(rate(a_total{job=~"gateway",instance=~".*"}[10s]))')
})

test('every dashboard exists, and its expressions and legends have no variable left', async () => {
  const there = readdirSync(new URL('../../grafana/dashboards', import.meta.url))
  for (const { name, job } of DASHBOARDS) {
    expect(there).toContain(`${name}.json`)
    const requested: string[] = []
    const points: Line['points'] = [[1002, 2]]
    const prometheus: Prometheus = {
      async query(expression) {
        requested.push(expression)
        return [{ labels: { route: '/ingest', instance: 'gateway' }, points }]
      },
      async [Symbol.asyncDispose]() {},
    }
    const { rows } = await dashboardRows(name, { prometheus, range, job })
    const panels = rows.flat()
    expect(panels.length).toBeGreaterThan(5)
    expect(requested.filter(expression => expression.includes('$'))).toEqual([])
    expect(panels.flatMap(({ series }) => series.map(one => one.name)).filter(legend => legend.includes('{{'))).toEqual(
      [],
    )
  }
})

test('a panel without data is left out, and seconds are shown as milliseconds', async () => {
  const prometheus: Prometheus = {
    async query(expression) {
      return expression.includes('gateway_http_request_seconds') ? [{ labels: {}, points: [[1004, 0.5]] }] : []
    },
    async [Symbol.asyncDispose]() {},
  }
  const { rows } = await dashboardRows('overview', { prometheus, range, job: '.*' })
  const panels = rows.flat()
  expect(panels.map(({ unit }) => unit)).toContain('ms')
  expect(panels.every(({ series }) => series.every(({ points }) => points[0]?.[0] === 4 && points[0][1] === 500))).toBe(
    true,
  )
})
