const WIDTH = 120
const HEIGHT = 28

interface SparkProps {
  readonly values: readonly number[]
  readonly isBad: boolean
}

/** The newest values as a line, without a scale: what matters is its shape. */
export function Spark({ values, isBad }: SparkProps) {
  if (values.length < 2) return <span class="spark" />
  const low = Math.min(...values)
  const span = Math.max(...values) - low
  const x = (i: number): string => ((i / (values.length - 1)) * WIDTH).toFixed(1)
  const y = (value: number): string =>
    (span > 0 ? HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4) : HEIGHT / 2).toFixed(1)
  const points = values.map((value, i) => `${x(i)},${y(value)}`).join(' ')
  const last = values.at(-1) ?? 0
  return (
    <svg
      class={isBad ? 'spark bad' : 'spark'}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <polyline
        points={points}
        fill="none"
        stroke="currentColor"
        stroke-width="1.5"
        vector-effect="non-scaling-stroke"
      />
      {isBad && <circle cx={WIDTH} cy={y(last)} r="2.5" fill="currentColor" />}
    </svg>
  )
}
