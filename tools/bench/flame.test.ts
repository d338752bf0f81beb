import { expect, test } from 'vitest'
import { type CpuProfile, drawFlame, stacksOf } from './flame.ts'

const call = (functionName: string, url: string) => ({ functionName, url, lineNumber: 1 })

const PROFILE: CpuProfile = {
  nodes: [
    { id: 1, callFrame: call('(root)', ''), children: [2, 5, 6] },
    {
      id: 2,
      callFrame: call('judge', 'file:///srv/tidemark/packages/analyzer/src/judging/analyse.ts'),
      children: [3, 4],
    },
    { id: 3, callFrame: call('a<b', 'file:///srv/tidemark/node_modules/.pnpm/x/node_modules/@scope/name/built/c.js') },
    { id: 4, callFrame: call('', 'node:internal/streams/writable') },
    { id: 5, callFrame: call('(idle)', '') },
    { id: 6, callFrame: call('(garbage collector)', '') },
  ],
  samples: [2, 3, 3, 4, 5, 6, 2],
  // In the end the process had been stopped for three seconds.
  timeDeltas: [100, 200, 100, 50, 9000, 50, 3_000_000],
}

test('samples add up by the stack that they were taken in, and idle time is left out', () => {
  const { total, children } = stacksOf(PROFILE)
  expect(total).toBe(500)
  expect([...children.values()].map(({ name, kind, total }) => ({ name, kind, total }))).toEqual([
    { name: 'judge judging/analyse.ts', kind: 'own', total: 450 },
    { name: 'garbage collection', kind: 'gc', total: 50 },
  ])
  expect([...(children.get('judge judging/analyse.ts')?.children.values() ?? [])]).toMatchObject([
    { name: 'a<b @scope/name', kind: 'dependency', total: 300 },
    { name: '(anonymous) node:streams/writable', kind: 'node', total: 50 },
  ])
})

test('a picture tells shares, leaves out what is too narrow, and says nothing of where files lie', () => {
  const svg = drawFlame(stacksOf(PROFILE), 'Analyzer & co')
  expect(svg).toContain('<title>judge judging/analyse.ts: 90.0 %</title>')
  expect(svg).toContain('a&lt;b @scope/name')
  expect(svg).toContain('Analyzer &amp; co')
  expect(svg).not.toContain('srv')
  const narrow = { ...PROFILE, timeDeltas: [100_000, 200, 100, 50, 9000, 50, 0] }
  expect(drawFlame(stacksOf(narrow), '')).not.toContain('(anonymous)')
})
