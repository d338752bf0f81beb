import { useSignal } from '@preact/signals'
import type { Aggregates, Alert, Analysis } from '@tidemark/client/types'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { client } from '../api.ts'
import { formatFull, formatTime, formatValue, plural } from '../format.ts'
import { Explain, FailureNote } from '../parts/states.tsx'
import { Time, tick } from '../parts/time.tsx'
import { type Resource, useResource } from '../resource.ts'
import { goTo } from '../router.ts'
import { bucketsToCsv, joinLevels } from './buckets.ts'
import { Chart } from './chart.tsx'
import { alertsIn, anomaliesOf, intervalOf, type Mark, marksOf, spanOf, summaryOf } from './marks.ts'
import { type Point, toCsv } from './points.ts'
import { levelsFor, NEWEST, needsLevels, type Range, rangeParameters, type Shown, SPANS } from './span.ts'

/** The finest bucket is 10 s long. */
const LEVELS_MS = 10_000

const VALUES = 20
const MARKS = 50

/** Clocks of devices and servers differ by so much without a reason. */
export const CLOCK_MS = 60_000

/** Around the only sample that there is. */
const ALONE_MS = 30_000

interface ChartPanelProps {
  readonly name: string
  readonly newest: Analysis
  readonly points: readonly Point[]
  readonly alerts: readonly Alert[]
  readonly shown: Shown
}

interface Frozen {
  readonly points: readonly Point[]
  readonly range: Range
}

/** Values over the time that the link says, and what is marked in it. */
export function ChartPanel({ name, newest, points, alerts, shown }: ChartPanelProps) {
  const paused = useSignal<Frozen | undefined>(undefined)
  const { span } = shown
  const [from, to] = [shown.range?.from, shown.range?.to]
  const isZoomed = needsLevels(shown)
  tick.value
  const moving = rangeOf(shown, points, presentOf(newest))
  // The time moves on between reads.
  const present = useRef({ moving, points })
  present.current = { moving, points }
  const levels = useResource(
    async signal => {
      if (!isZoomed) return { aggregates: [], baseMs: 0 }
      const { moving, points } = present.current
      const { queries, baseMs } = levelsFor(moving, Date.now(), points[0]?.timestamp ?? moving.to)
      const aggregates = await Promise.all(queries.map(query => client.aggregates(name, query, { signal })))
      return { aggregates, baseMs }
    },
    LEVELS_MS,
    [name, span, from, to],
  )
  useEffect(() => {
    paused.value = undefined
  }, [span, from, to])
  const read = levels.value.value
  const live = useMemo(() => {
    const isCounter = newest.rate !== undefined
    return isZoomed ? joinLevels(read?.aggregates ?? [], points, { isCounter, baseMs: read?.baseMs ?? 0 }) : points
  }, [read, points, isZoomed])
  const { points: drawn, range } = paused.value ?? { points: live, range: moving }
  const spans = useMemo(() => alerts.map(spanOf), [alerts])
  const seen = useMemo(() => drawn.filter(point => isIn(point, range)), [drawn, range.from, range.to])
  const fired = alertsIn(spans, range)
  return (
    <section class="panel stack" aria-label="Chart">
      <header>
        <Spans shown={shown} />
        <div class="row">
          <button
            type="button"
            class="button"
            aria-pressed={paused.value !== undefined}
            onClick={() => {
              paused.value = paused.value === undefined ? { points: drawn, range } : undefined
            }}
          >
            Pause
          </button>
          <button
            type="button"
            class="button"
            onClick={() => download(name, isZoomed ? bucketsToCsv(seen) : toCsv(seen))}
          >
            CSV
          </button>
        </div>
      </header>
      {shown.range !== undefined && <Interval range={shown.range} />}
      <Chart
        label={`Values of ${name} over time${isZoomed ? '' : ' with their band'}. The tables below have the same.`}
        describedBy="marked"
        points={drawn}
        alerts={spans}
        range={range}
        onZoom={chosen => goTo(chosen === undefined ? { from: '', to: '' } : rangeParameters(chosen))}
      />
      {!seen.some(hasSamples) && <Nothing levels={levels} newest={newest} isZoomed={isZoomed} />}
      <p class="small soft" id="marked">
        {summaryOf(seen, spans, range)}
      </p>
      {seen.some(point => anomaliesOf(point) > 0) || fired.length > 0 ? (
        <details>
          <summary class="small soft">Anomalies and alerts as a table</summary>
          <MarkTable marks={marksOf(seen, fired)} />
        </details>
      ) : null}
      <details>
        <summary class="small soft">Newest values as a table</summary>
        <ValueTable points={(isZoomed ? points : seen).slice(-VALUES).reverse()} />
      </details>
    </section>
  )
}

function Spans({ shown }: { readonly shown: Shown }) {
  return (
    <div class="row" role="group" aria-label="Time shown">
      {SPANS.map(span => (
        <button
          key={span.name}
          type="button"
          class="button"
          aria-pressed={shown.range === undefined && shown.span === span}
          onClick={() => goTo({ span: span.name, from: '', to: '' })}
        >
          {span.title}
        </button>
      ))}
    </div>
  )
}

function Interval({ range: { from, to } }: { readonly range: Range }) {
  return (
    <p class="row small">
      <span>
        {formatFull(from)} to {formatFull(to)}
      </span>
      <button type="button" class="button slim" onClick={() => goTo({ from: '', to: '' })}>
        Back to newest
      </button>
    </p>
  )
}

interface NothingProps {
  readonly levels: Resource<{ readonly aggregates: readonly Aggregates[] }>
  readonly newest: Analysis
  readonly isZoomed: boolean
}

/** Why the chart is empty. */
function Nothing({ levels, newest, isZoomed }: NothingProps) {
  if (isZoomed && levels.failure.value !== undefined) return <FailureNote failure={levels.failure.value} />
  if (isZoomed && levels.value.value === undefined) return <p role="status">Loading …</p>
  return (
    <Explain title="No samples of this time are kept.">
      <span>
        The newest sample is from {formatFull(newest.timestamp)}.{' '}
        <button type="button" class="link" onClick={() => goTo({ span: NEWEST.name, from: '', to: '' })}>
          Show the newest samples
        </button>
      </span>
    </Explain>
  )
}

function MarkTable({ marks }: { readonly marks: readonly Mark[] }) {
  return (
    <>
      <table class="plain small">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Marked</th>
          </tr>
        </thead>
        <tbody>
          {marks.slice(0, MARKS).map(({ from, to, point }) => (
            <tr key={`${from} ${point === undefined}`}>
              <td>
                <Time at={from} />
                {to === null ? ' until now' : to > from && ` to ${formatTime(to)}`}
              </td>
              <td>{point === undefined ? 'alert' : markedIn(point)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {marks.length > MARKS && <p class="small soft">and {plural(marks.length - MARKS, 'earlier one')}</p>}
    </>
  )
}

function markedIn(point: Point): string {
  const { bucket, value } = point
  if (bucket == null) return `anomaly: ${formatValue(value)}`
  return `${plural(bucket.anomalies, 'anomaly', 'anomalies')} in ${plural(bucket.count, 'sample')} from ${formatValue(bucket.min)} to ${formatValue(bucket.max)}`
}

function ValueTable({ points }: { readonly points: readonly Point[] }) {
  return (
    <table class="plain small">
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col" class="num">
            Value
          </th>
          <th scope="col" class="num">
            Band
          </th>
          <th scope="col">State</th>
        </tr>
      </thead>
      <tbody>
        {points.map(({ timestamp, value, low, high, state }) => (
          <tr key={timestamp}>
            <td>{formatFull(timestamp)}</td>
            <td class="num">{formatValue(value)}</td>
            <td class="num">{low === null ? '–' : `${formatValue(low)} to ${formatValue(high)}`}</td>
            <td>{state ?? '–'}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** The present by the clock of a key's samples: in a replay, or on a device, it is another one. */
function presentOf({ timestamp, analyzed_at: analyzedAt }: Analysis): number {
  const ahead = timestamp - analyzedAt
  return Math.max(timestamp, Date.now() + (Math.abs(ahead) < CLOCK_MS ? 0 : ahead))
}

function rangeOf({ span, range }: Shown, points: readonly Point[], present: number): Range {
  if (range !== undefined) return range
  if (span !== NEWEST) return { from: present - span.ms, to: present }
  const from = points[0]?.timestamp ?? present
  const to = points.at(-1)?.timestamp ?? present
  return from < to ? { from, to } : { from: from - ALONE_MS, to: to + ALONE_MS }
}

function hasSamples({ value, bucket }: Point): boolean {
  return bucket != null || !Number.isNaN(value)
}

function isIn(point: Point, range: Range): boolean {
  const { from, to } = intervalOf(point)
  return to >= range.from && from <= range.to
}

function download(key: string, csv: string): void {
  const link = document.createElement('a')
  const url = URL.createObjectURL(new Blob([csv], { type: 'text/csv' }))
  link.href = url
  link.download = `${key.replaceAll(/[^\p{L}\p{N}._-]+/gu, '_')}.csv`
  link.click()
  URL.revokeObjectURL(url)
}
