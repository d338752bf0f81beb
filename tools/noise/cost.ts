import type { DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { Judge } from '@tidemark/shared/detection/judge'
import { createPolicy } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { Random } from '@tidemark/testkit/random'
import { KeyJudge } from '../backtest/key-judge.ts'

const KEYS = 100
/** The fastest round counts: other work on the machine can only make a round slower. */
const ROUNDS = 40
const SAMPLES = 50_000

/** Returns the CPU microseconds to score a sample and weigh an alert, with 100 keys in turn. */
export function measureCost(detector: DetectorName): number {
  const random = new Random(1)
  const values = Float64Array.from({ length: SAMPLES }, (_, n) => 10 + random.normal() + Math.sin(n / 5000))
  const judge = new Judge(createPolicy({ detector }, VERDICT_DEFAULTS))
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) least = Math.min(least, runOnce(judge, values))
  return least / SAMPLES
}

function runOnce(judge: Judge, values: Float64Array): number {
  const keys = Array.from({ length: KEYS }, () => new KeyJudge(judge))
  const begin = process.threadCpuUsage()
  for (const [n, value] of values.entries()) {
    const time = 1000 * Math.floor(n / KEYS)
    keys[n % KEYS]?.step(value, time, time)
  }
  const { user, system } = process.threadCpuUsage(begin)
  return user + system
}
