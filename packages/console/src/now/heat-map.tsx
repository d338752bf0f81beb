import { signal } from '@preact/signals'
import type { Analysis } from '@tidemark/client/types'
import { formatTime, formatZ, plural } from '../format.ts'
import { KeyLink } from '../parts/key-name.tsx'
import { Explain } from '../parts/states.tsx'
import { HOUR_MS } from './use-anomalies.ts'

const KEYS = 15

/** Cells of an hour: wider ones where there is little room. */
const CELLS_WIDE = 60
const CELLS_NARROW = 20
const NARROW = matchMedia('(max-width: 640px)')

const isNarrow = signal(NARROW.matches)
NARROW.addEventListener('change', ({ matches }) => {
  isNarrow.value = matches
})

/** From which |z| on a cell has each of the colours. */
const LEVELS = [0, 4, 8, 16] as const

interface Line {
  readonly key: string
  readonly count: number
  /** The furthest |z| in each cell; undefined where nothing was. */
  readonly cells: readonly (number | undefined)[]
}

/** Keys and time: where and when the last hour had anomalies, and how far off they were. */
export function HeatMap({ anomalies }: { readonly anomalies: readonly Analysis[] }) {
  const cells = isNarrow.value ? CELLS_NARROW : CELLS_WIDE
  const cellMs = HOUR_MS / cells
  const end = Math.ceil(Date.now() / cellMs) * cellMs
  const lines = linesOf(anomalies, end, cells)
  return (
    <>
      <header>
        <h2 id="heat">The last hour</h2>
        <span class="legend" aria-hidden="true">
          deviations: <i class="h1" /> 2 <i class="h2" /> 4 <i class="h3" /> 8 <i class="h4" /> 16 and more
        </span>
      </header>
      {lines.length === 0 ? (
        <Explain title="Nothing unusual in the last hour.">
          <span>Each anomaly colours a cell: its key, and its minute.</span>
        </Explain>
      ) : (
        <>
          <table class="heat">
            <colgroup>
              <col class="name" />
              <col span={cells} />
            </colgroup>
            <caption class="unseen">Anomalies of the last hour, by key; those furthest off come first</caption>
            <tbody>
              {lines.slice(0, KEYS).map(line => (
                <HeatLine key={line.key} line={line} end={end} cellMs={cellMs} />
              ))}
            </tbody>
          </table>
          <div class="axis" aria-hidden="true">
            <span>{formatTime(end - HOUR_MS)}</span>
            <span>{formatTime(end - HOUR_MS / 2)}</span>
            <span>now</span>
          </div>
          {lines.length > KEYS && (
            <p class="small soft">and {plural(lines.length - KEYS, 'more key')} with anomalies</p>
          )}
        </>
      )}
    </>
  )
}

function HeatLine({ line, end, cellMs }: { readonly line: Line; readonly end: number; readonly cellMs: number }) {
  const { key, count, cells } = line
  const furthest = Math.max(...cells.map(z => z ?? 0))
  return (
    <tr>
      <th scope="row">
        <KeyLink name={key} />
        <span class="unseen">
          {plural(count, 'anomaly', 'anomalies')}, up to {formatZ(furthest)} deviations
        </span>
      </th>
      {cells.map((z, i) => {
        if (z === undefined) return <td key={i} />
        const at = formatTime(end - HOUR_MS + i * cellMs)
        return (
          <td key={i} class={`h${LEVELS.filter(from => z >= from).length}`} title={`${at}: ${formatZ(z)} deviations`} />
        )
      })}
    </tr>
  )
}

function weight({ cells }: Line): number {
  return cells.reduce<number>((sum, z = 0) => sum + (z < LEVELS[1] ? 0.1 : Math.min(z, LEVELS[3])), 0)
}

function linesOf(anomalies: readonly Analysis[], end: number, count: number): Line[] {
  const lines = new Map<string, { key: string; count: number; cells: (number | undefined)[] }>()
  for (const { key, z, timestamp, analyzed_at: analyzedAt } of anomalies) {
    // Of a replay of old samples only the time of the analysis is in the last hour.
    const at = timestamp > end - HOUR_MS && timestamp <= end ? timestamp : analyzedAt
    const cell = Math.floor(((at - (end - HOUR_MS)) / HOUR_MS) * count)
    if (cell < 0 || cell >= count) continue
    let line = lines.get(key)
    if (line === undefined) {
      line = { key, count: 0, cells: Array(count).fill(undefined) }
      lines.set(key, line)
    }
    line.count++
    line.cells[cell] = Math.max(line.cells[cell] ?? 0, Math.abs(z ?? 0))
  }
  // A value in twenty is a little off: cells that are far off matter, and then how many there are.
  return [...lines.values()].sort((a, b) => weight(b) - weight(a) || (a.key < b.key ? -1 : 1))
}
