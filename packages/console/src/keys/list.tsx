import { useSignal } from '@preact/signals'
import type { KeysQuery } from '@tidemark/client/client'
import type { KeyRow } from '@tidemark/client/types'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { formatRate, formatValue, formatZ } from '../format.ts'
import { KeyLink } from '../parts/key-name.tsx'
import { keyState, Sign } from '../parts/sign.tsx'
import { Spark } from '../parts/spark.tsx'
import { Ago } from '../parts/time.tsx'
import { Pages } from './pages.ts'

/** As in styles.css. */
const ROW_PX = 44

/** Rows above and below the screen. */
const SPARE = 8

/** Rows by which the part that exists moves. */
const STEP = 4

interface KeyListProps {
  readonly filters: KeysQuery
  readonly total: number
}

/** A list of any length: only the rows on the screen exist. */
export function KeyList({ filters, total }: KeyListProps) {
  const pages = useMemo(() => new Pages(filters), [])
  const scroller = useRef<HTMLDivElement>(null)
  const top = useSignal(0)
  const height = useSignal(800)
  const first = Math.max(0, Math.floor(top.value / ROW_PX / STEP) * STEP - SPARE)
  const last = Math.min(total - 1, Math.ceil((top.value + height.value) / ROW_PX) + SPARE)
  useEffect(() => pages.show(first, Math.max(first, last)), [first, last])
  useEffect(() => () => pages.close(), [])
  useEffect(() => {
    const element = scroller.current
    if (element === null) return
    const observer = new ResizeObserver(() => {
      height.value = element.clientHeight
    })
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  pages.version.value
  const visible = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i)
  return (
    <div class="panel keys" role="table" aria-label="Keys" aria-rowcount={total + 1}>
      <div class="key-row head" role="row" aria-rowindex={1}>
        <span role="columnheader">
          <span class="wide">State</span>
          <span class="unseen">state</span>
        </span>
        <span role="columnheader">Key</span>
        <span role="columnheader" class="num">
          Value
        </span>
        <span role="columnheader" class="num">
          z
        </span>
        <span role="columnheader" class="spark-cell">
          Newest values
        </span>
        <span role="columnheader" class="num wide">
          Per second
        </span>
        <span role="columnheader" class="wide">
          Last seen
        </span>
      </div>
      <div
        ref={scroller}
        class="scroller"
        style={{ maxHeight: `${total * ROW_PX}px` }}
        role="rowgroup"
        tabIndex={0}
        aria-label="Rows"
        onScroll={({ currentTarget }) => {
          top.value = currentTarget.scrollTop
        }}
        onKeyDown={moveByArrow}
      >
        <div class="spacer" style={{ height: `${total * ROW_PX}px` }} />
        <div class="window" style={{ transform: `translateY(${first * ROW_PX}px)` }}>
          {visible.map(index => (
            <Row key={index} index={index} row={pages.at(index)} />
          ))}
        </div>
      </div>
    </div>
  )
}

interface RowProps {
  readonly index: number
  readonly row: KeyRow | undefined
}

/** The same elements as long as the row is the same: scrolling must not draw it again. */
function Row({ index, row }: RowProps) {
  return useMemo(() => drawRow(index, row), [index, row])
}

function drawRow(index: number, row: KeyRow | undefined) {
  if (row === undefined) {
    return (
      <div class="key-row" role="row" aria-rowindex={index + 2}>
        <span role="cell" />
        <span role="cell" class="soft">
          …
        </span>
      </div>
    )
  }
  const [level, word] = keyState(row)
  return (
    <div class="key-row" role="row" aria-rowindex={index + 2}>
      <span role="cell">
        <Sign level={level}>{word}</Sign>
      </span>
      <span role="cell" class="row">
        <KeyLink name={row.key} />
      </span>
      <span role="cell" class="num">
        {formatValue(row.value)}
      </span>
      <span role="cell" class={level === 'bad' ? 'num bad' : 'num'}>
        {formatZ(row.z)}
      </span>
      <span role="cell" class="spark-cell">
        <Spark values={sparkOf(row)} isBad={level === 'bad'} />
      </span>
      <span role="cell" class="num wide">
        {formatRate(row.rate)}
      </span>
      <span role="cell" class="wide soft small">
        <Ago at={row.analyzed_at} />
      </span>
    </div>
  )
}

/** A window may leave anomalies out: the newest value is shown in any case. */
function sparkOf({ value, values = [] }: KeyRow): readonly number[] {
  return values.at(-1) === value ? values : [...values, value]
}

/** The arrows move between the keys of the list; Tab leaves them in order too. */
function moveByArrow(event: KeyboardEvent): void {
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
  const { activeElement } = document
  if (step === 0 || !(activeElement instanceof HTMLAnchorElement)) return
  event.preventDefault()
  const row = activeElement.closest('.key-row')
  const next = step > 0 ? row?.nextElementSibling : row?.previousElementSibling
  next?.querySelector('a')?.focus()
}
