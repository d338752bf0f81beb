import { ALERT_DEFAULTS } from '@tidemark/shared/detection/alerts/defaults'
import { createDetector, DETECTOR_NAMES, type DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { memoryLength, shapeOf } from '@tidemark/shared/detection/key-row'
import { createPolicy, type PolicyParts } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { precision, recall } from '../backtest/tally.ts'
import { formatCount, paragraph } from '../lib/format.ts'
import { formatMarkdownTable } from '../lib/table.ts'
import { countAlerts, type GroupName, recordingsOf, scoreRecordings } from './compare.ts'
import { measureCost } from './cost.ts'
import { ERROR_VALUES, REPORTED } from './labelled.ts'
import {
  FOUND_WITHIN,
  MINUTE_MS,
  measureNewKeys,
  measureNoise,
  measureShifts,
  measureSpikes,
  type Power,
  SECOND_MS,
} from './measure.ts'
import { NORMAL, SIGNALS } from './signals.ts'

/** The samples of each signal, the trials of each change and the recordings of each kind. */
export const FULL = { samples: 1_000_000, newKeys: 1000, trials: 2000, recordings: 40 }
export const QUICK = { samples: 10_000, newKeys: 10, trials: 50, recordings: 2 }
export type Sizes = typeof FULL

export const SEED = 20_260_101
const SPIKES = [4, 6, 8]
const SHIFTS = [1, 2, 3]

/** One table with the sentences above it. A row is measured when its cells are requested. */
interface Section {
  readonly lead: string
  readonly head: readonly string[]
  readonly rows: readonly { readonly name: string; cells(): string[] }[]
}

/** All tables in Markdown: the one to choose by, and the details. */
export interface Tables {
  readonly summary: string
  readonly details: string
}

type Steps = Generator<{ done: number; total: number; row: string }, Tables>

/** Measures all tables. Yields the progress and the next row. */
export function* makeTables(sizes: Sizes, seed = SEED): Steps {
  const measured = new Measured(sizes, seed)
  const sections = [
    noiseSection(measured),
    minuteSection(measured),
    newKeysSection(sizes, seed),
    powerSection(measured),
    alertsSection(measured),
    comparisonSection(sizes),
    costSection(measured),
    summarySection(measured),
  ]
  const total = sections.reduce((sum, { rows }) => sum + rows.length, 0)
  let done = 0
  const texts: string[] = []
  for (const { lead, head, rows } of sections) {
    const cells: string[][] = []
    for (const row of rows) {
      yield { done: done++, total, row: `${head[0]} ${row.name}` }
      cells.push([row.name, ...row.cells()])
    }
    texts.push(`${paragraph(lead)}\n\n${formatMarkdownTable(head, cells, { align: 'right' })}`)
  }
  const summary = texts.pop() ?? ''
  return { summary, details: texts.join('\n\n') }
}

type DetectorParts = PolicyParts & { readonly detector: DetectorName }

type Noise = ReturnType<typeof measureNoise>

/** What several tables show is measured once. */
class Measured {
  readonly sizes: Sizes
  readonly seed: number
  readonly #known = new Map<string, unknown>()

  constructor(sizes: Sizes, seed: number) {
    this.sizes = sizes
    this.seed = seed
  }

  /** Returns flags and openings per 10^6 samples. */
  noise(signal: (typeof SIGNALS)[number], detector: DetectorName, intervalMs: number): Noise {
    return this.#once(['noise', signal.name, detector, intervalMs], () => {
      const { flagged, opened } = measureNoise(signal, detector, this.sizes.samples, this.seed, intervalMs)
      const perMillion = (count: number): number => Math.round((count / this.sizes.samples) * 1e6)
      return { flagged: perMillion(flagged), opened: perMillion(opened) }
    })
  }

  spike(size: number, detector: DetectorName): Power {
    return this.#once(['spike', size, detector], () => measureSpikes(size, detector, this.sizes.trials, this.seed))
  }

  shift(size: number, detector: DetectorName): Power {
    return this.#once(['shift', size, detector], () => measureShifts(size, detector, this.sizes.trials, this.seed))
  }

  /** Returns precision and recall of the alerts on recordings, in percent. */
  alerts(groups: readonly GroupName[], parts: DetectorParts, only?: string): string {
    return this.#once(['alerts', groups, parts, only], () => {
      const recordings = groups.flatMap(group => recordingsOf(group, this.sizes.recordings, only))
      const hits = countAlerts(recordings, parts)
      const shown = (share: number): string => (Number.isNaN(share) ? '-' : (100 * share).toFixed(0))
      return `${shown(precision(hits))} / ${shown(recall(hits))}`
    })
  }

  cost(detector: DetectorName): string {
    return this.#once(['cost', detector], () => `${measureCost(detector).toFixed(2)} µs`)
  }

  #once<T>(key: readonly unknown[], measure: () => T): T {
    const name = JSON.stringify(key)
    if (!this.#known.has(name)) this.#known.set(name, measure())
    return this.#known.get(name) as T
  }
}

/** Returns the bytes of a key's state beside its window: the detector's and the guard's memory. */
function stateOf(detector: DetectorName): string {
  const shape = shapeOf(createPolicy({ detector }, VERDICT_DEFAULTS))
  return `${formatCount(8 * (createDetector(detector).stateLength + memoryLength(shape)))} bytes`
}

function summarySection(measured: Measured): Section {
  const worst = (detector: DetectorName, intervalMs: number): string =>
    formatCount(Math.max(...SIGNALS.map(signal => measured.noise(signal, detector, intervalMs).opened)))
  return {
    lead:
      'Alerts that each detector opens. False alarms: openings per 10^6 samples of the worst noise signal, at one ' +
      'sample a second and one a minute. Found: spikes of 6 deviations on their own sample, and shifts of 3 within ' +
      `${FOUND_WITHIN} samples, in normal noise. Recordings: precision / recall in percent on labelled synthetic ` +
      'recordings that were not used to choose anything. Cost: CPU time per sample, alerts included, and state ' +
      'per key beside the window.',
    head: ['detector', 'false, 1/s', 'false, 1/min', 'spike of 6', 'shift of 3', 'recordings', 'time', 'state'],
    rows: DETECTOR_NAMES.map(detector => ({
      name: detector,
      cells: () => [
        worst(detector, SECOND_MS),
        worst(detector, MINUTE_MS),
        share(measured.spike(6, detector).opened),
        share(measured.shift(3, detector).opened),
        measured.alerts(['held out', 'unseen'], { detector }),
        measured.cost(detector),
        stateOf(detector),
      ],
    })),
  }
}

function noiseSection(measured: Measured): Section {
  return {
    lead:
      'Flagged samples / alerts opened, both per 10^6 samples, at one sample a second. ' +
      `Each cell: ${formatCount(measured.sizes.samples)} samples of one key, seed ${measured.seed}.`,
    head: ['signal', ...DETECTOR_NAMES],
    rows: SIGNALS.map(signal =>
      row(signal.name, detector => {
        const { flagged, opened } = measured.noise(signal, detector, SECOND_MS)
        return `${formatCount(flagged)} / ${formatCount(opened)}`
      }),
    ),
  }
}

function minuteSection(measured: Measured): Section {
  return {
    lead: 'Alerts opened per 10^6 samples at one sample a minute: nearly two years, so earlier alerts are forgotten.',
    head: ['signal', ...DETECTOR_NAMES],
    rows: SIGNALS.map(signal =>
      row(signal.name, detector => formatCount(measured.noise(signal, detector, MINUTE_MS).opened)),
    ),
  }
}

/** Samples of a new key. */
const YOUNG = 1000

function newKeysSection({ newKeys }: Sizes, seed: number): Section {
  return {
    lead:
      `Flagged samples / alerts opened of 1,000 new keys with N(0,1), in their first ${formatCount(YOUNG)} samples ` +
      `(${formatCount(newKeys)} keys measured).`,
    head: ['signal', ...DETECTOR_NAMES],
    rows: [
      row('new keys', detector => {
        const { flagged, opened } = measureNewKeys(NORMAL, detector, { keys: newKeys, samples: YOUNG, seed })
        const perThousand = (count: number): string => formatCount(Math.round((count / newKeys) * 1000))
        return `${perThousand(flagged)} / ${perThousand(opened)}`
      }),
    ],
  }
}

/** A row with a cell for each detector. */
function row(name: string, cell: (detector: DetectorName) => string) {
  return { name, cells: () => DETECTOR_NAMES.map(cell) }
}

/** A row with a cell for each detector, and one for z-scores without the guard. */
function alertsRow(name: string, cell: (parts: DetectorParts) => string) {
  const limits = { detector: 'zscore', alert: ALERT_DEFAULTS } as const
  return { name, cells: () => [...DETECTOR_NAMES.map(detector => cell({ detector })), cell(limits)] }
}

function share(part: number): string {
  return `${(part * 100).toFixed(part === 1 || part === 0 ? 0 : 1)} %`
}

function powerSection(measured: Measured): Section {
  const found = ({ flagged, opened }: Power): string => `${share(flagged)} / ${share(opened)}`
  const delay = (power: Power): string => (Number.isNaN(power.delay) ? '-' : power.delay.toFixed(1))
  const shift = (size: number, detector: DetectorName) => {
    const power = measured.shift(size, detector)
    return `${found(power)} (${delay(power)})`
  }
  return {
    lead:
      `Share of trials flagged / share that opens an alert, in N(0,1) after 500 normal samples. ` +
      `Each cell: ${formatCount(measured.sizes.trials)} trials. A spike must be found on its own sample, a shift within ${FOUND_WITHIN} samples. ` +
      'In brackets: the mean number of samples until the alert, of the alerts opened within 50 samples.',
    head: ['change', ...DETECTOR_NAMES],
    rows: [
      ...SPIKES.map(size => row(`spike of ${size}`, detector => found(measured.spike(size, detector)))),
      ...SHIFTS.map(size => row(`shift of ${size}`, detector => shift(size, detector))),
    ],
  }
}

/** What a rule should say of some of the reported shapes. */
const REMEDIES: Readonly<Record<string, { readonly name: string; readonly parts: PolicyParts }>> = {
  counters: { name: 'counters, `counter: true`', parts: { isCounter: true } },
  'error values': { name: 'error values, `ignore`', parts: { ignored: new Set(ERROR_VALUES) } },
}

function alertsSection(measured: Measured): Section {
  const groups = ['chosen by', 'held out', 'unseen'] as const
  const reported = Object.keys(REPORTED).flatMap(kind => {
    const remedy = REMEDIES[kind]
    const plain = alertsRow(kind, parts => measured.alerts(['reported'], parts, kind))
    if (remedy === undefined) return [plain]
    const { name, parts } = remedy
    return [plain, alertsRow(name, others => measured.alerts(['reported'], { ...parts, ...others }, kind))]
  })
  return {
    lead:
      'Precision / recall in percent of the alerts on labelled synthetic recordings, a sample every five minutes, ' +
      `${measured.sizes.recordings} of each kind: the three groups of kinds, then each shape that users report ` +
      'problems with. The last column has z-scores with the limits of a rule that sets a member of `alert`, which ' +
      'were the default in 0.1.0. A dash: no alert.',
    head: ['recordings', ...DETECTOR_NAMES, 'limits of 0.1.0'],
    rows: [...groups.map(group => alertsRow(group, parts => measured.alerts([group], parts))), ...reported],
  }
}

function comparisonSection({ recordings }: Sizes): Section {
  return {
    lead:
      'Window scores (100 is perfect, 0 flags nothing) of the flagged samples on the same recordings, ' +
      `${recordings} of each kind. "Best threshold" is the single threshold that scores best on the kinds used to ` +
      'choose detectors and constants; "default" is the detector\'s own threshold.',
    head: ['detector', 'best threshold', 'chosen by', 'held out', 'unseen', 'unseen, default'],
    rows: DETECTOR_NAMES.map(name => ({
      name,
      cells() {
        const { threshold, chosenBy, heldOut, unseen, unseenAtDefault } = scoreRecordings(name, recordings)
        const scores = [chosenBy, heldOut, unseen, unseenAtDefault].map(score => score.toFixed(1))
        return [threshold.toPrecision(3), ...scores]
      },
    })),
  }
}

function costSection(measured: Measured): Section {
  return {
    lead:
      `CPU time per sample (judge, learn, alert) on ${process.arch} with Node ${process.versions.node}, and the size ` +
      "of the detector's state and the guard's memory per key.",
    head: ['detector', 'time', 'state'],
    rows: DETECTOR_NAMES.map(name => ({ name, cells: () => [measured.cost(name), stateOf(name)] })),
  }
}
