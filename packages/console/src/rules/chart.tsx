import type { RulePreview, TestedSamples } from '@tidemark/client/types'
import { formatValue } from '../format.ts'
import { Time } from '../parts/time.tsx'

const WIDTH = 1000
const HEIGHT = 160
const LANE = 16

/** The axis goes beyond the values by this share of their range. */
const MARGIN = 0.2

type Series = NonNullable<RulePreview['series']>

interface PreviewChartProps {
  readonly name: string
  readonly series: Series
}

/** The values of a key with the band of the rule, and what each side flags in a lane below. */
export function PreviewChart({
  name,
  series: { timestamps, values, in_force: before, preview: after },
}: PreviewChartProps) {
  const [first, last] = [timestamps[0] ?? 0, timestamps.at(-1) ?? 0]
  const least = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  const greatest = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const span = greatest - least || 1
  const [bottom, top] = [least - MARGIN * span, greatest + MARGIN * span]
  const x = (i: number): number => round((i / Math.max(1, values.length - 1)) * WIDTH)
  const y = (value: number): number =>
    round(HEIGHT - ((Math.min(top, Math.max(bottom, value)) - bottom) / (top - bottom)) * HEIGHT)
  const line = values.map((value, i) => `${x(i)},${y(value)}`).join(' ')
  return (
    <div class="preview-chart small">
      <svg
        class="plot"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={describe(name, before, after)}
      >
        {bandsOf(after).map(({ from, to }) => (
          <polygon
            key={from}
            class="band"
            points={[
              ...after.high.slice(from, to).map((high, i) => `${x(from + i)},${y(high ?? top)}`),
              ...after.low
                .slice(from, to)
                .map((low, i) => `${x(from + i)},${y(low ?? bottom)}`)
                .reverse(),
            ].join(' ')}
          />
        ))}
        <polyline class="value" points={line} vector-effect="non-scaling-stroke" />
      </svg>
      <div class="scale soft num">
        <span>{formatValue(greatest)}</span>
        <span>{formatValue(least)}</span>
      </div>
      <Lane title="now" samples={before} x={x} />
      <Lane title="then" samples={after} x={x} />
      <div class="ends soft">
        <Time at={first} />
        <span class="legend">
          <i class="flagged" /> flagged <i class="opened" /> alert <i class="banded" /> usual, then
        </span>
        <Time at={last} />
      </div>
    </div>
  )
}

interface LaneProps {
  readonly title: string
  readonly samples: TestedSamples
  readonly x: (i: number) => number
}

function Lane({ title, samples: { flagged, opened }, x }: LaneProps) {
  return (
    <>
      <svg class="lane" viewBox={`0 0 ${WIDTH} ${LANE}`} preserveAspectRatio="none" aria-hidden="true">
        <path
          class="flagged"
          d={flagged.map((is, i) => (is ? `M${x(i)} 5V${LANE - 3}` : '')).join('')}
          vector-effect="non-scaling-stroke"
        />
        <path
          class="opened"
          d={opened.map((is, i) => (is ? `M${x(i)} 0V${LANE}` : '')).join('')}
          vector-effect="non-scaling-stroke"
        />
      </svg>
      <span class="soft">{title}</span>
    </>
  )
}

/** Runs of samples that have a band. */
function bandsOf({ low, high }: TestedSamples): { readonly from: number; readonly to: number }[] {
  const runs: { from: number; to: number }[] = []
  low.forEach((value, i) => {
    if (value === null && high[i] == null) return
    const run = runs.at(-1)
    if (run?.to === i) run.to = i + 1
    else runs.push({ from: i, to: i + 1 })
  })
  return runs
}

function describe(name: string, before: TestedSamples, after: TestedSamples): string {
  const count = (all: readonly boolean[]): number => all.filter(Boolean).length
  const side = ({ flagged, opened }: TestedSamples): string => `${count(flagged)} flagged, ${count(opened)} alerts`
  return `Values of ${name}. Now: ${side(before)}. With the rule: ${side(after)}.`
}

const round = (value: number): number => Math.round(value * 10) / 10
