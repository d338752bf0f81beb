import { createJudgement, type History } from '@tidemark/shared/detection/detectors/detector'
import { createSlab } from '@tidemark/shared/detection/detectors/places'
import { createDetector, type DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { Random } from '@tidemark/testkit/random'

const WINDOW = 50
const KEYS = 100
/** The fastest round counts: other work on the machine can only make a round slower. */
const ROUNDS = 40
const SAMPLES = 50_000

/** Returns the CPU microseconds per sample, with 100 keys in turn and a window of 50. */
export function measureCost(name: DetectorName): number {
  const random = new Random(1)
  const values = Float64Array.from({ length: SAMPLES }, (_, n) => 10 + random.normal() + Math.sin(n / 5000))
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) least = Math.min(least, runOnce(name, values))
  return least / SAMPLES
}

function runOnce(name: DetectorName, values: Float64Array): number {
  const detector = createDetector(name)
  const slab = createSlab(detector.stateLength * KEYS)
  for (let key = 0; key < KEYS; key++) detector.start(slab, key * detector.stateLength)
  const history: History = { rows: new Float64Array(WINDOW * KEYS), start: 0, times: 0, size: 0, head: 0 }
  const judgement = createJudgement()
  const begin = process.cpuUsage()
  for (let n = 0; n < SAMPLES; n++) {
    const key = n % KEYS
    const pushed = Math.floor(n / KEYS)
    const value = values[n] as number
    history.start = key * WINDOW
    history.size = Math.min(pushed, WINDOW)
    history.head = pushed > WINDOW ? pushed % WINDOW : 0
    detector.judge(history, slab, key * detector.stateLength, value, judgement)
    detector.learn(slab, key * detector.stateLength, value, judgement)
    history.rows[history.start + (pushed % WINDOW)] = value
  }
  const { user, system } = process.cpuUsage(begin)
  return user + system
}
