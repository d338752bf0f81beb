import type { Detector, DetectorSettings } from './detector.ts'
import { createEwma } from './ewma.ts'
import { createHabit } from './habit.ts'
import { createMad } from './mad.ts'
import { createNovelty } from './novelty.ts'
import { createRange } from './range.ts'
import { createStep } from './step.ts'
import { createZscore } from './zscore.ts'

const CREATORS = {
  zscore: createZscore,
  ewma: createEwma,
  mad: createMad,
  range: createRange,
  novelty: createNovelty,
  habit: createHabit,
  step: createStep,
} as const satisfies Record<string, (settings?: DetectorSettings) => Detector>

export type DetectorName = keyof typeof CREATORS

export const DETECTOR_NAMES = Object.keys(CREATORS) as readonly DetectorName[]

export function isDetectorName(name: string): name is DetectorName {
  return Object.hasOwn(CREATORS, name)
}

export function createDetector(name: DetectorName, settings: DetectorSettings = {}): Detector {
  return CREATORS[name](settings)
}
