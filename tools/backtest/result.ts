import type { LabelWindow } from './labels.ts'
import { alertsPerKeyDay, costNs, type Hits, meanDelayMs, precision, recall, type Tally } from './tally.ts'
import type { OpenedAlert, VariantRun } from './variant-run.ts'

/** How a file was read, a line each. */
export interface InputReport {
  readonly file: string
  readonly lines: readonly string[]
}

/** A labelled window, and when each variant opened its first alert in it; Infinity: never. */
export interface WindowResult extends LabelWindow {
  readonly file: string
  readonly firstAlerts: readonly number[]
}

export interface AlertResult extends OpenedAlert {
  readonly variant: string
  readonly file: string
}

/** Everything that a back-test found out. */
export interface Result {
  readonly variants: readonly { readonly name: string; readonly tally: Tally }[]
  readonly windows: readonly WindowResult[]
  /** Empty unless they are listed. */
  readonly alerts: readonly AlertResult[]
  readonly inputs: readonly InputReport[]
}

export function windowResults(
  file: string,
  windows: readonly LabelWindow[],
  runs: readonly Pick<VariantRun, 'firstAlerts'>[],
): WindowResult[] {
  return windows.map(({ start, end }, index) => {
    const firstAlerts = runs.map(run => run.firstAlerts[index] ?? Number.POSITIVE_INFINITY)
    return { file, start, end, firstAlerts }
  })
}

/** Returns the result as JSON: numbers that are unknown are null, times are ISO 8601. */
export function toJson({ variants, windows, alerts, inputs }: Result, by: string | undefined): string {
  const isLabelled = variants.some(({ tally }) => tally.isLabelled)
  const names = variants.map(({ name }) => name)
  const result = {
    files: inputs,
    ...(isLabelled ? { windows: windows.length } : {}),
    variants: variants.map(({ name, tally }) => {
      const { samples, rejected, warming, late, duplicates, ignored, levelShifts, silences, flagged } = tally
      const counts = {
        samples,
        refused: rejected,
        warming,
        late,
        duplicates,
        ignored,
        level_shifts: levelShifts,
        silences,
      }
      const perDay = alertsPerKeyDay(tally)
      return {
        name,
        ...counts,
        flagged: { count: flagged.count, ...(isLabelled ? hitsToJson(flagged) : {}) },
        alerts: {
          count: tally.alerts.count,
          per_key_and_day: perDay,
          ...(isLabelled ? hitsToJson(tally.alerts) : {}),
        },
        cost_ns: costNs(tally),
      }
    }),
    ...(by === 'window' ? { by_window: windows.map(window => windowToJson(window, names)) } : {}),
    ...(by === 'alert' ? { by_alert: alerts.map(alert => alertToJson(alert, isLabelled)) } : {}),
  }
  return JSON.stringify(result, null, 2)
}

function hitsToJson(hits: Hits) {
  const { inside, found } = hits
  return { right: inside, precision: precision(hits), found, recall: recall(hits), delay_ms: meanDelayMs(hits) }
}

function windowToJson({ file, start, end, firstAlerts }: WindowResult, names: readonly string[]) {
  const found = names.map((name, index) => [name, isoOrNull(firstAlerts[index])])
  return { file, start: isoOrNull(start), end: isoOrNull(end), first_alerts: Object.fromEntries(found) }
}

function alertToJson({ isInside, openedAt, resolvedAt, ...alert }: AlertResult, isLabelled: boolean) {
  const times = { opened_at: isoOrNull(openedAt), resolved_at: isoOrNull(resolvedAt) }
  return { ...alert, ...times, ...(isLabelled ? { right: isInside } : {}) }
}

function isoOrNull(time: number | null | undefined): string | null {
  return time == null || !Number.isFinite(time) ? null : new Date(time).toISOString()
}
