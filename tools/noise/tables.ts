import { createDetector, DETECTOR_NAMES } from '@tidemark/shared/detection/detectors/registry'
import { formatCount } from '../lib/format.ts'
import { scoreRecordings } from './compare.ts'
import { measureCost } from './cost.ts'
import { FOUND_WITHIN, measureNoise, measureShifts, measureSpikes, type Power } from './measure.ts'
import { SIGNALS } from './signals.ts'

export interface Sizes {
  readonly samples: number
  readonly trials: number
  /** Recordings of each kind. */
  readonly recordings: number
}

export const FULL: Sizes = { samples: 1_000_000, trials: 2000, recordings: 40 }
export const QUICK: Sizes = { samples: 10_000, trials: 50, recordings: 2 }

const SEED = 20_260_101
const SPIKES = [4, 6, 8]
const SHIFTS = [1, 2, 3]

/** A part of the document that takes a while; `run` gives its Markdown. */
interface Part {
  readonly name: string
  run(): string[]
}

/** All parts, each cell a step of its own, so that progress can be shown between them. */
export function* makeTables(
  sizes: Sizes,
): Generator<{ readonly done: number; readonly of: number; readonly what: string }, string> {
  const parts = [...noiseParts(sizes), ...powerParts(sizes), ...comparisonParts(sizes), ...costParts()]
  const lines: string[] = []
  for (const [done, part] of parts.entries()) {
    yield { done, of: parts.length, what: part.name }
    lines.push(...part.run())
  }
  return lines.join('\n')
}

function noiseParts({ samples }: Sizes): Part[] {
  const perMillion = (count: number): string => formatCount(Math.round((count / samples) * 1e6))
  const head = [
    `Flagged samples / opened alerts per 10^6 samples; ${formatCount(samples)} samples a cell, seed ${SEED}.`,
    '',
    ...header('signal', DETECTOR_NAMES),
  ]
  const rows = SIGNALS.map(signal => ({
    name: signal.name,
    run: () => {
      const cells = DETECTOR_NAMES.map(detector => {
        const { flagged, opened } = measureNoise(signal, detector, samples, SEED)
        return `${perMillion(flagged)} / ${perMillion(opened)}`
      })
      return [row(signal.name, cells)]
    },
  }))
  return [{ name: 'noise', run: () => head }, ...rows]
}

function powerParts({ trials }: Sizes): Part[] {
  const share = (part: number): string => `${(part * 100).toFixed(part === 1 || part === 0 ? 0 : 1)} %`
  const part = (
    what: string,
    isDelayed: boolean,
    measure: (detector: (typeof DETECTOR_NAMES)[number]) => Power,
  ): Part => ({
    name: what,
    run: () => {
      const cells = DETECTOR_NAMES.map(detector => {
        const { flagged, opened, delay } = measure(detector)
        return `${share(flagged)} / ${share(opened)}${isDelayed ? ` (${Number.isNaN(delay) ? '-' : delay.toFixed(1)})` : ''}`
      })
      return [row(what, cells)]
    },
  })
  const head = [
    '',
    `Share flagged / share that opens an alert, in N(0,1) after 500 calm samples; ${formatCount(trials)} trials a cell. A spike counts on its own`,
    `sample, a shift within ${FOUND_WITHIN}; in brackets the mean number of samples until the alert, of those opened within 50.`,
    '',
    ...header('what happens', DETECTOR_NAMES),
  ]
  return [
    { name: 'power', run: () => head },
    ...SPIKES.map(size => part(`spike of ${size}`, false, detector => measureSpikes(size, detector, trials, SEED))),
    ...SHIFTS.map(size => part(`shift of ${size}`, true, detector => measureShifts(size, detector, trials, SEED))),
  ]
}

function comparisonParts({ recordings }: Sizes): Part[] {
  const head = [
    '',
    `Window scores (100 is perfect, 0 flags nothing) on labelled synthetic recordings, ${recordings} of each kind. "Best": at the one threshold that is`,
    'best for the kinds by which detectors and constants were chosen; "default": at the default threshold.',
    '',
    ...header('detector', ['best threshold', 'chosen by', 'held out', 'unseen', 'unseen, default']),
  ]
  const rows = DETECTOR_NAMES.map(detector => ({
    name: `recordings, ${detector}`,
    run: () => {
      const { threshold, chosenBy, heldOut, unseen, unseenAtDefault } = scoreRecordings(detector, recordings)
      return [
        row(detector, [
          threshold.toPrecision(3),
          ...[chosenBy, heldOut, unseen, unseenAtDefault].map(score => score.toFixed(1)),
        ]),
      ]
    },
  }))
  return [{ name: 'recordings', run: () => head }, ...rows]
}

function costParts(): Part[] {
  const head = [
    '',
    `Processor time a sample, judged and learnt, on ${process.arch} with Node ${process.versions.node}; the state a key.`,
    '',
  ]
  const rows = DETECTOR_NAMES.map(name => ({
    name: `cost, ${name}`,
    run: () => [
      row(name, [`${measureCost(name).toFixed(2)} µs`, `${formatCount(createDetector(name).stateLength * 8)} bytes`]),
    ],
  }))
  return [{ name: 'cost', run: () => [...head, ...header('detector', ['time', 'state'])] }, ...rows]
}

function header(first: string, names: readonly string[]): string[] {
  return [
    row(first, names),
    row(
      '---',
      names.map(() => '---:'),
    ),
  ]
}

function row(first: string, cells: readonly string[]): string {
  return `| ${[first, ...cells].join(' | ')} |`
}
