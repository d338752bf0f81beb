import { writeFile } from 'node:fs/promises'
import { DETECTOR_NAMES, type DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { Judge } from '@tidemark/shared/detection/judge'
import { createPolicy } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { Random } from '@tidemark/testkit/random'
import { KeyJudge } from '../backtest/key-judge.ts'
import { panelOf } from '../backtest/plot.ts'
import { PlotPoints } from '../backtest/plot-points.ts'
import { drawSvg, toPng } from '../lib/plot.ts'
import { BEGIN_MS, INTERVAL_MS } from './compare.ts'
import { autoregressive } from './signals.ts'

/** Samples before the ones that are drawn, in which a detector learns the key. */
const LEARNED = 3000
const DRAWN = 600
const DAY = 288

/** A signal with anomalies. Faults begin at a number of the samples that are drawn. */
interface Example {
  readonly title: string
  create(random: Random): (n: number) => number
  readonly faults: readonly { readonly at: number; readonly length: number; value(usual: number, n: number): number }[]
}

const spike = (at: number, size: number) => ({ at, length: 1, value: (usual: number) => usual + size })
const rhythm = (n: number): number => 10 * Math.sin((2 * Math.PI * n) / DAY)

const EXAMPLES: Readonly<Record<DetectorName, Example>> = {
  zscore: {
    title: 'zscore flags some noise; the guard opens alerts for a spike and a shift',
    create: random => () => 50 + random.normal(),
    faults: [spike(200, 7), { at: 420, length: 180, value: usual => usual + 4.5 }],
  },
  ewma: {
    title: 'ewma follows a signal that wanders, and finds a jump',
    create: random => {
      const level = autoregressive(random, 0.99, 1)
      return () => 100 + level()
    },
    faults: [{ at: 450, length: 60, value: usual => usual + 35 }],
  },
  mad: {
    title: 'mad finds a second outlier soon after the first one',
    create: random => () => 20 + random.normal(),
    faults: [spike(200, 14), spike(230, 12), { at: 460, length: 12, value: usual => usual - 10 }],
  },
  range: {
    title: 'range finds new extremes, and no spike within the range',
    create: random => n => 50 + rhythm(n) + random.normal(),
    faults: [spike(150, 12), spike(245, 8), { at: 390, length: 20, value: usual => usual - 9 }],
  },
  novelty: {
    title: 'novelty finds a value between the levels of a machine',
    create: random => {
      let isOn = false
      return () => {
        if (random.uniform() < 0.02) isOn = !isOn
        return (isOn ? 80 : 20) + random.normal()
      }
    },
    faults: [{ at: 430, length: 25, value: usual => 50 + (usual % 2) }],
  },
  habit: {
    title: 'habit finds a rhythm that freezes at a usual value',
    create: random => n => 50 + rhythm(n) + 0.5 * random.normal(),
    faults: [{ at: 320, length: 60, value: () => 49.5 }],
  },
  step: {
    title: 'step finds sudden changes of a signal that moves smoothly',
    create: random => {
      const level = autoregressive(random, 0.995, 0.3)
      return n => 60 + 2 * rhythm(n) + level()
    },
    faults: [spike(220, 5), { at: 430, length: 60, value: usual => usual - 7 }],
  },
}

/** Draws `detector-NAME.png` in the folder for each detector. Returns their paths. */
export async function writePictures(folder: URL): Promise<string[]> {
  const paths: string[] = []
  for (const name of DETECTOR_NAMES) {
    const path = new URL(`detector-${name}.png`, folder)
    await writeFile(path, await drawExample(name, EXAMPLES[name]))
    paths.push(path.pathname)
  }
  return paths
}

async function drawExample(detector: DetectorName, { title, create, faults }: Example): Promise<Buffer> {
  const next = create(new Random(7))
  const key = new KeyJudge(new Judge(createPolicy({ detector }, VERDICT_DEFAULTS)))
  const points = new PlotPoints([detector])
  for (let n = 0; n < LEARNED + DRAWN; n++) {
    const timestamp = BEGIN_MS + INTERVAL_MS * n
    const drawn = n - LEARNED
    const value = faults.reduce((usual, fault) => {
      return drawn >= fault.at && drawn < fault.at + fault.length ? fault.value(usual, n) : usual
    }, next(n))
    const judged = key.step(value, timestamp, timestamp)
    if (drawn >= 0) points.add(0, { key: '', value, timestamp }, judged)
  }
  const windows = faults.map(({ at, length }) => {
    const start = BEGIN_MS + INTERVAL_MS * (LEARNED + at)
    return { start: start - 3 * INTERVAL_MS, end: start + INTERVAL_MS * Math.min(length + 2, DRAWN - at - 1) }
  })
  const panels = points.panels().map(panel => ({ ...panelOf(panel, windows), title: '', width: 720, height: 130 }))
  return toPng(await drawSvg({ title, xTitle: 'time', isTime: true, rows: panels.map(panel => [panel]) }))
}
