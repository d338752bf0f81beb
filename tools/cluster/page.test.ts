import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { replaceSection } from '../lib/table.ts'
import { clusterSection, type LoadRow, loadsTable } from '../load/cluster-section.ts'
import { describeScaling, drawAutoscaling, pageSections } from './page.ts'
import type { ClusterResult } from './result.ts'

const LOAD: LoadRow = {
  ...{ shape: 'steady', seconds: 10, targetRps: 500, requests: 5000, failures: 0, samples: 9000, unjudged: 0 },
  ...{ averageMs: 1.25, p95Ms: 3, lateP95Ms: null, recall: 0.95, replicasMost: { analyzer: 3, gateway: 5 } },
  ...{ from: 0, to: 12, timeline: [[0, 500, 498]] },
}

test('a load shows its rate, its latency and the most replicas of each service', () => {
  const [, , row] = loadsTable([LOAD]).split('\n')
  expect(row?.split('|').map(cell => cell.trim())).toEqual([
    ...[
      '',
      'steady, 10 s',
      '500',
      '500.0',
      '5,000',
      '0',
      '1.3 ms',
      '3.0 ms',
      '-',
      '95.0 %',
      '5 gateways, 3 analyzers',
      '',
    ],
  ])
})

test('the text says how fast an autoscaler was', () => {
  const points = [2, 4, 5, 3, 2].map((replicas, i) => ({ at: i * 100, replicas, desired: replicas, percent: 50 }))
  const record = { name: 'gateway', min: 2, max: 5, points }
  expect(describeScaling(record, [{ to: 250 }])).toBe(
    'The gateway had its most replicas, 5, 200 s after the load began, and its minimum again 50 s after the load ended.',
  )
  expect(describeScaling({ ...record, points: points.slice(0, 3) }, [{ to: 250 }])).toContain(
    'still more than its minimum',
  )
  expect(describeScaling({ ...record, points: points.slice(0, 1) }, [{ to: 250 }])).toBe('The gateway stayed at 2.')
})

const result = JSON.parse(readFileSync(new URL('result.json', import.meta.url), 'utf8')) as ClusterResult

test('docs/cluster.md shows the figures of the run that is kept, and no others', () => {
  const page = readFileSync(new URL('../../docs/cluster.md', import.meta.url), 'utf8')
  let expected = page
  for (const [name, text] of Object.entries(pageSections(result))) expected = replaceSection(expected, name, text)
  expect(page).toBe(expected)
})

test('docs/report.md shows the loads of that run', () => {
  const page = readFileSync(new URL('../../docs/report.md', import.meta.url), 'utf8')
  expect(page).toContain(clusterSection(result))
})

test('the picture shows the replicas of both services', async () => {
  const svg = await drawAutoscaling(result)
  for (const name of ['gateway', 'analyzer']) expect(svg).toContain(`${name}: replicas`)
})
