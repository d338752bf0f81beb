import { parseTraceParent } from '@opentelemetry/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatTraceparent, parseTraceparent, traceFields } from './trace-context.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN_ID = '00f067aa0ba902b7'

describe('a traceparent', () => {
  test('is parsed, and formatted as version 00', () => {
    const text = `00-${TRACE_ID}-${SPAN_ID}-01`
    expect(parseTraceparent(text)).toEqual({ traceId: TRACE_ID, spanId: SPAN_ID, isSampled: true })
    expect(formatTraceparent({ traceId: TRACE_ID, spanId: SPAN_ID, isSampled: true })).toBe(text)
  })

  test('of a later version is parsed up to the known part, and unknown flags are not passed on', () => {
    const later = parseTraceparent(`cc-${TRACE_ID}-${SPAN_ID}-ff-what-the-future-says`)
    expect(later).toEqual({ traceId: TRACE_ID, spanId: SPAN_ID, isSampled: true })
    expect(parseTraceparent(`00-${TRACE_ID}-${SPAN_ID}-02`)).toMatchObject({ isSampled: false })
  })

  test.each([
    ['nothing', ''],
    ['an id of zeros', `00-${'0'.repeat(32)}-${SPAN_ID}-01`],
    ['a parent of zeros', `00-${TRACE_ID}-${'0'.repeat(16)}-01`],
    ['capitals', `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`],
    ['the version that cannot be', `ff-${TRACE_ID}-${SPAN_ID}-01`],
    ['more than version 00 has', `00-${TRACE_ID}-${SPAN_ID}-01-more`],
    ['a later version with more and no dash', `01-${TRACE_ID}-${SPAN_ID}-01more`],
    ['an id that is too short', `00-${TRACE_ID.slice(1)}-${SPAN_ID}-01`],
    ['two headers in one', `00-${TRACE_ID}-${SPAN_ID}-01, 00-${TRACE_ID}-${SPAN_ID}-01`],
    ['a line end', `00-${TRACE_ID}-${SPAN_ID}-01\n`],
  ])('that has %s is none', (_, text) => {
    expect(parseTraceparent(text)).toBeUndefined()
  })

  test('is valid exactly where OpenTelemetry parses it', () => {
    const hex = (length: number) =>
      fc.string({ unit: fc.constantFrom(...'0123456789abcdefA'), minLength: length, maxLength: length })
    const part = (length: number) => fc.oneof({ weight: 8, arbitrary: hex(length) }, fc.constant('0'.repeat(length)))
    const version = fc.constantFrom('00', '01', 'cc', 'ff', 'fe', '0')
    const rest = fc.constantFrom('', '-', '-x', 'x', '-00')
    fc.assert(
      fc.property(fc.tuple(version, part(32), part(16), part(2)), rest, (parts, end) => {
        const text = parts.join('-') + end
        const theirs = parseTraceParent(text)
        const expected =
          theirs === null
            ? undefined
            : { traceId: theirs.traceId, spanId: theirs.spanId, isSampled: theirs.traceFlags % 2 === 1 }
        expect(parseTraceparent(text)).toEqual(expected)
      }),
      { numRuns: 2000 },
    )
  })
})

test('a log line has the id of its trace, and all ids if there are several', () => {
  const trace = { traceId: TRACE_ID, spanId: SPAN_ID, isSampled: true }
  const other = { ...trace, traceId: 'f'.repeat(32) }
  expect(traceFields([])).toEqual({})
  expect(traceFields([trace])).toEqual({ trace_id: TRACE_ID, span_id: SPAN_ID })
  expect(traceFields([trace, other])).toEqual({
    trace_id: TRACE_ID,
    span_id: SPAN_ID,
    trace_ids: [TRACE_ID, other.traceId],
  })
})
