import 'uplot/dist/uPlot.min.css'
import { type Signal, useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { formatFull, formatSecond, formatTime, formatValue, plural } from '../format.ts'
import type { Point } from './points.ts'

const HEIGHT = 340
const MINUTE_MS = 60_000

export interface Marker {
  readonly from: number
  readonly to: number | null
}

interface ChartProps {
  readonly label: string
  readonly points: Signal<readonly Point[]>
  /** When alerts fired. */
  readonly markers: Signal<readonly Marker[]>
  /** How much of the time is shown, in milliseconds; 0: all of it. */
  readonly spanMs: number
}

/** Value and band over time. Drag to zoom, double-click to see all; the arrows move the read-out. */
export function Chart({ label, points, markers, spanMs }: ChartProps) {
  const root = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const index = useSignal<number | null>(null)
  const zoom = useRef<readonly [number, number] | undefined>(undefined)

  useEffect(() => {
    const element = root.current
    if (element === null) return
    const colors = createColors(element)
    const one = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        ms: 1,
        legend: { show: false },
        cursor: { points: { size: 8 } },
        scales: { x: { time: true }, y: { range: { min: { pad: 0.12, mode: 0 }, max: { pad: 0.12, mode: 0 } } } },
        series: [
          {},
          { stroke: () => colors('--accent'), width: 1.75, points: { show: false } },
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
            grid: { show: false },
            ticks: { stroke: () => colors('--line') },
            space: 90,
            values: (_, splits, __, ___, step) => splits.map(step < MINUTE_MS ? formatSecond : formatTime),
          },
          {
            stroke: () => colors('--ink-soft'),
            grid: { stroke: () => colors('--line'), width: 1 },
            ticks: { show: false },
            size: 64,
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
              if (u.select.width > 0)
                zoom.current = [u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x')]
            },
          ],
          drawClear: [u => drawMarkers(u, markers.peek(), colors('--bad-soft'))],
        },
      },
      columnsOf(points.peek()),
      element,
    )
    plot.current = one
    const observer = new ResizeObserver(() => one.setSize({ width: element.clientWidth, height: HEIGHT }))
    observer.observe(element)
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    const redraw = (): void => one.redraw()
    scheme.addEventListener('change', redraw)
    const showAll = (): void => {
      zoom.current = undefined
    }
    one.over.addEventListener('dblclick', showAll)
    return () => {
      observer.disconnect()
      scheme.removeEventListener('change', redraw)
      one.destroy()
    }
  }, [])

  const all = points.value
  const marked = markers.value
  useEffect(() => {
    const one = plot.current
    if (one === undefined) return
    one.setData(columnsOf(all), false)
    const first = all[0]?.timestamp ?? 0
    const last = all.at(-1)?.timestamp ?? 1
    const [min, max] = zoom.current ?? [spanMs === 0 ? first : Math.max(first, last - spanMs), last]
    one.setScale('x', { min, max: Math.max(max, min + 1) })
  }, [all, marked, spanMs])
  useEffect(() => {
    zoom.current = undefined
  }, [spanMs])

  function move(event: KeyboardEvent): void {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
    const one = plot.current
    if (step === 0 || one === undefined) return
    event.preventDefault()
    const at = Math.min(all.length - 1, Math.max(0, (index.peek() ?? all.length) + step))
    const { timestamp = 0, value = 0 } = all[at] ?? {}
    one.setCursor({ left: one.valToPos(timestamp, 'x'), top: one.valToPos(value, 'y') })
  }

  return (
    <>
      <Readout point={all[index.value ?? all.length - 1]} />
      <div ref={root} class="chart" role="img" aria-label={label} tabIndex={0} onKeyDown={move} />
    </>
  )
}

function Readout({ point }: { readonly point: Point | undefined }) {
  if (point === undefined) return <p class="readout" />
  if (point.bucket !== undefined) return <BucketReadout point={point} />
  const { timestamp, value, mean, low, high, state } = point
  return (
    <p class="readout">
      <span class="soft">{formatFull(timestamp)}</span>
      <strong>{formatValue(value)}</strong>
      {mean !== null && <span>mean {formatValue(mean)}</span>}
      {low !== null && (
        <span>
          band {formatValue(low)} to {formatValue(high)}
        </span>
      )}
      {state !== null && <span class={state === 'anomalous' ? 'bad' : 'soft'}>{state}</span>}
    </p>
  )
}

function BucketReadout({ point: { timestamp, value, state, bucket = null } }: { readonly point: Point }) {
  return (
    <p class="readout">
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
    </p>
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

function drawMarkers({ ctx, bbox, valToPos, scales }: uPlot, markers: readonly Marker[], color: string): void {
  const { min = 0, max = 0 } = scales.x ?? {}
  ctx.save()
  ctx.fillStyle = color
  for (const { from, to } of markers) {
    const begin = Math.max(from, min ?? 0)
    const end = Math.min(to ?? Number.POSITIVE_INFINITY, max ?? 0)
    if (end < begin) continue
    const left = valToPos(begin, 'x', true)
    ctx.fillRect(left, bbox.top, Math.max(2, valToPos(end, 'x', true) - left), bbox.height)
  }
  ctx.restore()
}

/** A canvas takes no custom properties: an element resolves them for the scheme in force. */
function createColors(parent: HTMLElement): (name: string) => string {
  const probe = parent.appendChild(document.createElement('i'))
  probe.hidden = true
  return name => {
    probe.style.color = `var(${name})`
    return getComputedStyle(probe).color
  }
}
