import 'uplot/dist/uPlot.min.css'
import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { formatFull, formatSecond, formatTime, formatValue, plural } from '../format.ts'
import { type AlertSpan, alertsIn, intervalOf, isBeyondNoise } from './marks.ts'
import type { Point } from './points.ts'
import { type Range, zoomed } from './span.ts'

const HEIGHT = 340
/** Of a large screen. */
const HEIGHT_SHARE = 0.33
/** The width of the axis of values. */
const AXIS = 64
const FONT = 12
/** The size of text to which these belong. */
const TEXT = 15
const MINUTE_MS = 60_000

/** A label of an alert stands this far from the last one. */
const LABEL_GAP = 8
const DIAMOND = 6
const DIAMOND_SMALL = 4

/** How much a press of + or - changes. */
const ZOOM_STEP = 2

interface ChartProps {
  readonly label: string
  /** The id of a text that says what is marked. */
  readonly describedBy: string
  readonly points: readonly Point[]
  readonly alerts: readonly AlertSpan[]
  readonly range: Range
  /** The interval that a user zooms to; undefined: back to all of it. */
  readonly onZoom: (range: Range | undefined) => void
}

/**
 * Value and band over time. Drag to zoom, double-click to see all; the arrows move the read-out, and
 * + and - zoom around it. Diamonds mark buckets with anomalies, dots single ones, and bars alerts.
 */
export function Chart({ label, describedBy, points, alerts, range, onZoom }: ChartProps) {
  const root = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const index = useSignal<number | null>(null)
  const isFocused = useSignal(false)
  // What its hooks read later.
  const shown = useRef({ points, alerts, onZoom })
  shown.current = { points, alerts, onZoom }

  useEffect(() => {
    const element = root.current
    if (element === null) return
    const colors = createColors(element)
    const one = new uPlot(
      {
        width: element.clientWidth,
        height: heightOf(),
        ms: 1,
        legend: { show: false },
        cursor: {
          points: { size: 8 },
          drag: { setScale: false, dist: 4 },
          bind: {
            dblclick: () => () => {
              shown.current.onZoom(undefined)
              return null
            },
          },
        },
        scales: { x: { time: true }, y: { range: { min: { pad: 0.12, mode: 0 }, max: { pad: 0.12, mode: 0 } } } },
        series: [
          {},
          {
            stroke: () => colors('--accent'),
            width: 1.75,
            // Without a neighbour there is no line.
            points: { show: true, size: 5, width: 0, fill: () => colors('--accent'), filter: aloneOf },
          },
          { stroke: 'transparent', points: { show: false } },
          { stroke: 'transparent', points: { show: false } },
          {
            stroke: 'transparent',
            paths: () => null,
            points: { show: true, size: 8, width: 0, fill: () => colors('--bad') },
          },
        ],
        bands: [{ series: [3, 2], fill: () => colors('--band') }],
        axes: [
          {
            stroke: () => colors('--ink-soft'),
            font: fontOf(FONT * textScale()),
            grid: { show: false },
            ticks: { stroke: () => colors('--line') },
            space: 90 * textScale(),
            values: (_, splits, __, ___, step) => splits.map(step < MINUTE_MS ? formatSecond : formatTime),
          },
          {
            stroke: () => colors('--ink-soft'),
            font: fontOf(FONT * textScale()),
            grid: { stroke: () => colors('--line'), width: 1 },
            ticks: { show: false },
            size: AXIS * textScale(),
            values: (_, splits) => splits.map(split => formatValue(split)),
          },
        ],
        hooks: {
          setCursor: [
            u => {
              index.value = u.cursor.idx ?? null
            },
          ],
          setSelect: [
            u => {
              const { left, width } = u.select
              if (width === 0) return
              u.setSelect({ ...u.select, width: 0 }, false)
              shown.current.onZoom({ from: u.posToVal(left, 'x'), to: u.posToVal(left + width, 'x') })
            },
          ],
          drawClear: [u => tintAlerts(u, shown.current.alerts, colors)],
          draw: [
            u => {
              drawBuckets(u, shown.current.points, colors)
              labelAlerts(u, shown.current.alerts, colors)
            },
          ],
        },
      },
      columnsOf(points),
      element,
    )
    plot.current = one
    const observer = new ResizeObserver(() => one.setSize({ width: element.clientWidth, height: heightOf() }))
    observer.observe(element)
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    const redraw = (): void => one.redraw()
    scheme.addEventListener('change', redraw)
    return () => {
      observer.disconnect()
      scheme.removeEventListener('change', redraw)
      one.destroy()
    }
  }, [])

  useEffect(() => {
    const one = plot.current
    if (one === undefined) return
    one.setData(columnsOf(points), false)
    one.setScale('x', { min: range.from, max: range.to })
  }, [points, alerts, range.from, range.to])

  const first = points.findIndex(({ timestamp }) => timestamp >= range.from)
  const last = points.findLastIndex(({ timestamp }) => timestamp <= range.to)

  function move(at: number): void {
    const one = plot.current
    const point = points[at]
    if (one === undefined || point === undefined) return
    const top = one.valToPos(Number.isNaN(point.value) ? 0 : point.value, 'y')
    one.setCursor({ left: one.valToPos(point.timestamp, 'x'), top: Math.min(one.over.clientHeight, Math.max(0, top)) })
    index.value = at
  }

  function press(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const at = index.peek() ?? last + 1
    const act: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => move(Math.min(last, Math.max(first, at - 1))),
      ArrowRight: () => move(Math.min(last, Math.max(first, at + 1))),
      Home: () => move(first),
      End: () => move(last),
      '+': () => onZoom(zoomed(range, points[at]?.timestamp ?? range.to, 1 / ZOOM_STEP)),
      '-': () => onZoom(zoomed(range, points[at]?.timestamp ?? range.to, ZOOM_STEP)),
    }
    const chosen = act[event.key]
    if (chosen === undefined) return
    event.preventDefault()
    chosen()
  }

  return (
    <>
      {/* New samples are not read out, only what a user moves to. */}
      <div aria-live={isFocused.value ? 'polite' : 'off'}>
        <Readout point={points[index.value ?? last]} alerts={alerts} />
      </div>
      <div
        ref={root}
        class="chart"
        role="img"
        aria-label={label}
        aria-describedby={describedBy}
        tabIndex={0}
        onKeyDown={press}
        onFocus={() => {
          isFocused.value = true
        }}
        onBlur={() => {
          isFocused.value = false
        }}
      />
    </>
  )
}

interface ReadoutProps {
  readonly point: Point | undefined
  readonly alerts: readonly AlertSpan[]
}

function Readout({ point, alerts }: ReadoutProps) {
  if (point === undefined) return <p class="readout" />
  const fired = alertsIn(alerts, intervalOf(point)).length
  return (
    <p class="readout">
      {point.bucket === undefined ? <SampleReadout point={point} /> : <BucketReadout point={point} />}
      {fired > 0 && <span class="bad">{plural(fired, 'alert')}</span>}
    </p>
  )
}

function SampleReadout({ point: { timestamp, value, mean, low, high, state } }: { readonly point: Point }) {
  return (
    <>
      <span class="soft">{formatFull(timestamp)}</span>
      <strong>{formatValue(value)}</strong>
      {mean !== null && <span>mean {formatValue(mean)}</span>}
      {low !== null && (
        <span>
          band {formatValue(low)} to {formatValue(high)}
        </span>
      )}
      {state !== null && <span class={state === 'anomalous' ? 'bad' : 'soft'}>{state}</span>}
    </>
  )
}

function BucketReadout({ point: { timestamp, value, state, bucket = null } }: { readonly point: Point }) {
  return (
    <>
      <span class="soft">{formatFull(bucket?.start ?? timestamp)}</span>
      <strong>{Number.isNaN(value) ? (bucket === null ? 'no samples' : '–') : formatValue(value)}</strong>
      {bucket !== null && (
        <>
          <span>
            {formatValue(bucket.min)} to {formatValue(bucket.max)}
          </span>
          <span>deviation {formatValue(bucket.deviation)}</span>
          <span>{plural(bucket.count, 'sample')}</span>
          {bucket.anomalies > 0 && <span class="bad">{plural(bucket.anomalies, 'anomaly', 'anomalies')}</span>}
        </>
      )}
      {bucket === null && state !== null && <span class={state === 'anomalous' ? 'bad' : 'soft'}>{state}</span>}
    </>
  )
}

function columnsOf(points: readonly Point[]): uPlot.AlignedData {
  return [
    points.map(({ timestamp }) => timestamp),
    // A gap ends the line.
    points.map(({ value }) => (Number.isNaN(value) ? null : value)),
    points.map(({ low }) => low),
    points.map(({ high }) => high),
    points.map(({ value, state }) => (state === 'anomalous' ? value : null)),
  ]
}

function aloneOf({ data: [, values = []] }: uPlot): number[] {
  return [...values.keys()].filter(i => values[i] != null && values[i - 1] == null && values[i + 1] == null)
}

type Colors = ReturnType<typeof createColors>

interface Box {
  readonly left: number
  readonly width: number
}

/** Returns where alerts are on the canvas, in order of time. */
function boxesOf({ valToPos, scales }: uPlot, alerts: readonly AlertSpan[]): Box[] {
  const { min, max } = scales.x ?? {}
  const range = { from: min ?? 0, to: max ?? 0 }
  return alertsIn(alerts, range)
    .toSorted((a, b) => a.from - b.from)
    .map(({ from, to }) => {
      const left = valToPos(Math.max(from, range.from), 'x', true)
      const right = valToPos(Math.min(to ?? range.to, range.to), 'x', true)
      return { left, width: Math.max(2 * devicePixelRatio, right - left) }
    })
}

function tintAlerts(u: uPlot, alerts: readonly AlertSpan[], colors: Colors): void {
  const { ctx, bbox } = u
  ctx.save()
  ctx.fillStyle = colors('--bad-soft')
  for (const { left, width } of boxesOf(u, alerts)) ctx.fillRect(left, bbox.top, width, bbox.height)
  ctx.restore()
}

/** A bar above the span of each alert, and the word where there is room for it. */
function labelAlerts(u: uPlot, alerts: readonly AlertSpan[], colors: Colors): void {
  const { ctx, bbox } = u
  const pixel = devicePixelRatio
  ctx.save()
  ctx.font = labelFont()
  ctx.textAlign = 'left'
  ctx.textBaseline = 'top'
  ctx.fillStyle = colors('--bad')
  const text = ctx.measureText('alert').width
  let free = bbox.left
  for (const { left, width } of boxesOf(u, alerts)) {
    ctx.fillRect(left, bbox.top, width, 4 * pixel)
    const at = Math.min(left, bbox.left + bbox.width - text)
    if (at < free) continue
    ctx.fillText('alert', at, bbox.top + 7 * pixel)
    free = at + text + LABEL_GAP * pixel
  }
  ctx.restore()
}

/**
 * Buckets with anomalies: a diamond at the value that is furthest off. It is filled, and has their
 * number, where they are more than noise explains.
 */
function drawBuckets(u: uPlot, points: readonly Point[], colors: Colors): void {
  const { ctx, bbox, valToPos, scales } = u
  const { min, max } = scales.x ?? {}
  const pixel = devicePixelRatio
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top - DIAMOND * pixel, bbox.width, bbox.height + 2 * DIAMOND * pixel)
  ctx.clip()
  ctx.font = labelFont()
  ctx.textAlign = 'center'
  let free = bbox.left
  for (const point of points) {
    const { timestamp, value, low, high, bucket } = point
    if (bucket == null || bucket.anomalies === 0 || timestamp < (min ?? 0) || timestamp > (max ?? 0)) continue
    const isMany = isBeyondNoise(point)
    const size = (isMany ? DIAMOND : DIAMOND_SMALL) * pixel
    const furthest = high !== null && low !== null && high - value < value - low ? low : (high ?? value)
    // Where numbers are too large the bucket has none, and its mark is at the bottom.
    const y = Number.isFinite(furthest) ? valToPos(furthest, 'y', true) : bbox.top + bbox.height
    const x = valToPos(timestamp, 'x', true)
    const path = new Path2D(`M${x} ${y - size}L${x + size} ${y}L${x} ${y + size}L${x - size} ${y}Z`)
    ctx.fillStyle = colors(isMany ? '--bad' : '--surface')
    ctx.strokeStyle = colors(isMany ? '--surface' : '--bad')
    ctx.lineWidth = 1.5 * pixel
    ctx.fill(path)
    ctx.stroke(path)
    if (!isMany) continue
    const text = String(bucket.anomalies)
    const half = ctx.measureText(text).width / 2
    if (x - half < free) continue
    const isLow = furthest === low && low !== high
    ctx.textBaseline = isLow ? 'top' : 'bottom'
    ctx.fillText(text, Math.min(x, bbox.left + bbox.width - half), isLow ? y + size * 1.3 : y - size * 1.3)
    free = x + half + LABEL_GAP * pixel
  }
  ctx.restore()
}

/** A canvas counts the pixels of the screen. */
const labelFont = (): string => `600 ${fontOf(FONT * textScale() * devicePixelRatio)}`

const fontOf = (pixels: number): string => `${pixels}px system-ui, sans-serif`

/** Text is larger on large screens. */
const textScale = (): number => Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / TEXT

const heightOf = (): number => Math.max(HEIGHT, Math.round(innerHeight * HEIGHT_SHARE))

/** A canvas takes no custom properties: an element resolves them for the scheme in force. */
function createColors(parent: HTMLElement): (name: string) => string {
  const probe = parent.appendChild(document.createElement('i'))
  probe.hidden = true
  return name => {
    probe.style.color = `var(${name})`
    return getComputedStyle(probe).color
  }
}
