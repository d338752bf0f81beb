import { createDetector, DETECTOR_NAMES, type DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { formatCount, paragraph } from '../lib/format.ts'
import { formatMarkdownTable } from '../lib/table.ts'
import { scoreRecordings } from './compare.ts'
import { measureCost } from './cost.ts'
import {
  FOUND_WITHIN,
  MINUTE_MS,
  measureNewKeys,
  measureNoise,
  measureShifts,
  measureSpikes,
  type Power,
} from './measure.ts'
import { NORMAL, SIGNALS } from './signals.ts'

/** The samples of each signal, the trials of each change and the recordings of each kind. */
export const FULL = { samples: 1_000_000, newKeys: 1000, trials: 2000, recordings: 40 }
export const QUICK = { samples: 10_000, newKeys: 10, trials: 50, recordings: 2 }
type Sizes = typeof FULL

const SEED = 20_260_101
const SPIKES = [4, 6, 8]
const SHIFTS = [1, 2, 3]

/** One table with the sentences above it. A row is measured when its cells are requested. */
interface Section {
  readonly lead: string
  readonly head: readonly string[]
  readonly rows: readonly { readonly name: string; cells(): string[] }[]
}

/** Measures all tables. Yields the progress and the next row; returns Markdown. */
export function* makeTables(sizes: Sizes): Generator<{ done: number; total: number; row: string }, string> {
  const sections = [
    noiseSection(sizes),
    minuteSection(sizes),
    newKeysSection(sizes),
    powerSection(sizes),
    comparisonSection(sizes),
    costSection(),
  ]
  const total = sections.reduce((sum, { rows }) => sum + rows.length, 0)
  let done = 0
  const texts: string[] = []
  for (const { lead, head, rows } of sections) {
    const measured: string[][] = []
    for (const { name, cells } of rows) {
      yield { done: done++, total, row: `${head[0]} ${name}` }
      measured.push([name, ...cells()])
    }
    texts.push(paragraph(lead), formatMarkdownTable(head, measured, { align: 'right' }))
  }
  return texts.join('\n\n')
}

function noiseSection({ samples }: Sizes): Section {
  const perMillion = (count: number): string => formatCount(Math.round((count / samples) * 1e6))
  return {
    lead:
      'Flagged samples / alerts opened, both per 10^6 samples, at one sample a second. ' +
      `Each cell: ${formatCount(samples)} samples of one key, seed ${SEED}.`,
    head: ['signal', ...DETECTOR_NAMES],
    rows: SIGNALS.map(signal =>
      row(signal.name, detector => {
        const { flagged, opened } = measureNoise(signal, detector, samples, SEED)
        return `${perMillion(flagged)} / ${perMillion(opened)}`
      }),
    ),
  }
}

function minuteSection({ samples }: Sizes): Section {
  return {
    lead: 'Alerts opened per 10^6 samples at one sample a minute: nearly two years, so earlier alerts are forgotten.',
    head: ['signal', ...DETECTOR_NAMES],
    rows: SIGNALS.map(signal =>
      row(signal.name, detector => {
        const { opened } = measureNoise(signal, detector, samples, SEED, MINUTE_MS)
        return formatCount(Math.round((opened / samples) * 1e6))
      }),
    ),
  }
}

/** Samples of a new key. */
const YOUNG = 1000

function newKeysSection({ newKeys }: Sizes): Section {
  return {
    lead:
      `Flagged samples / alerts opened of 1,000 new keys with N(0,1), in their first ${formatCount(YOUNG)} samples ` +
      `(${formatCount(newKeys)} keys measured).`,
    head: ['signal', ...DETECTOR_NAMES],
    rows: [
      row('new keys', detector => {
        const { flagged, opened } = measureNewKeys(NORMAL, detector, { keys: newKeys, samples: YOUNG, seed: SEED })
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

function powerSection({ trials }: Sizes): Section {
  const share = (part: number): string => `${(part * 100).toFixed(part === 1 || part === 0 ? 0 : 1)} %`
  const found = ({ flagged, opened }: Power): string => `${share(flagged)} / ${share(opened)}`
  const delay = (power: Power): string => (Number.isNaN(power.delay) ? '-' : power.delay.toFixed(1))
  const spike = (size: number, detector: DetectorName) => found(measureSpikes(size, detector, trials, SEED))
  const shift = (size: number, detector: DetectorName) => {
    const power = measureShifts(size, detector, trials, SEED)
    return `${found(power)} (${delay(power)})`
  }
  return {
    lead:
      `Share of trials flagged / share that opens an alert, in N(0,1) after 500 normal samples. ` +
      `Each cell: ${formatCount(trials)} trials. A spike must be found on its own sample, a shift within ${FOUND_WITHIN} samples. ` +
      'In brackets: the mean number of samples until the alert, of the alerts opened within 50 samples.',
    head: ['change', ...DETECTOR_NAMES],
    rows: [
      ...SPIKES.map(size => row(`spike of ${size}`, detector => spike(size, detector))),
      ...SHIFTS.map(size => row(`shift of ${size}`, detector => shift(size, detector))),
    ],
  }
}

function comparisonSection({ recordings }: Sizes): Section {
  return {
    lead:
      'Window scores (100 is perfect, 0 flags nothing) on labelled synthetic recordings, ' +
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

function costSection(): Section {
  return {
    lead:
      `CPU time per sample (judge and learn) on ${process.arch} with Node ${process.versions.node}, and the size of ` +
      "the detector's state per key.",
    head: ['detector', 'time', 'state'],
    rows: DETECTOR_NAMES.map(name => ({
      name,
      cells: () => [`${measureCost(name).toFixed(2)} µs`, `${formatCount(createDetector(name).stateLength * 8)} bytes`],
    })),
  }
}
