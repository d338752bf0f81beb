import { expect, test } from 'vitest'
import { drawSvg, type Panel, toPng } from './plot.ts'

const size = { width: 300, height: 80 }
const lines: Panel = {
  ...size,
  title: 'every style',
  unit: 'ms',
  series: [
    {
      name: 'value',
      points: [
        [0, 1],
        [1, null],
        [2, 3],
      ],
    },
    {
      name: 'wanted',
      style: 'step',
      points: [
        [0, 2],
        [2, 2],
      ],
    },
    { name: 'flagged', style: 'dots', colour: '#abcdef', points: [[2, 3]] },
    {
      name: 'normal range',
      style: 'band',
      points: [
        [0, 0, 2],
        [2, 1, 3],
      ],
    },
    { name: 'labelled', style: 'span', points: [[1, 2]] },
    { name: 'alert', style: 'mark', points: [[1]] },
  ],
  rules: [{ name: 'threshold', y: 2.5 }],
}
const stat: Panel = {
  ...size,
  title: 'newest value',
  unit: 's',
  isStat: true,
  series: [
    {
      name: '',
      points: [
        [0, 1],
        [1, 42.12345],
      ],
    },
  ],
}

test('a figure shows its panels, a legend, rules and the newest value', async () => {
  const svg = await drawSvg({ title: 'a < b', xTitle: 'seconds', rows: [[stat], [lines]] })
  for (const text of ['every style', 'normal range', 'labelled', 'threshold', 'seconds', '42.12 s', '#abcdef']) {
    expect(svg).toContain(text)
  }
  expect(svg).toContain('<title>a &lt; b</title>')
  expect(svg).not.toContain('aria-')
  expect(toPng(svg).subarray(1, 4).toString()).toBe('PNG')
})

test('equal figures give equal pictures', async () => {
  const draw = () => drawSvg({ title: 't', xTitle: 'x', rows: [[lines]] })
  expect(await draw()).toBe(await draw())
})
