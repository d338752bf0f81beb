import type { Random } from '@tidemark/testkit/random'

/** A signal without anomalies: every flag is a false alarm, unless the name says otherwise. */
export interface Signal {
  readonly name: string
  /** Returns a function for sample `n`, to be called in order: signals have state. */
  create(random: Random, length: number): (n: number) => number
}

/** One sample a minute. */
const DAY = 1440

type Draw = (random: Random) => number

/** Signals whose samples do not depend on each other. */
const INDEPENDENT: Readonly<Record<string, Draw>> = {
  'Poisson 5': random => random.poisson(5),
  'Poisson 0.05': random => random.poisson(0.05),
  'Student t3': random => random.student3(),
  lognormal: random => Math.exp(random.normal()),
  'Pareto 1.5': random => random.pareto(1.5),
}

const normal: Draw = random => random.normal()
const independent = (draw: Draw) => (random: Random) => () => draw(random)
const one = (name: string, create: Signal['create']): Signal => ({ name, create })

export const NORMAL = one('N(0,1)', independent(normal))

export const SIGNALS: readonly Signal[] = [
  NORMAL,
  one('AR(1) 0.95', random => autoregressive(random, 0.95)),
  one('random walk', random => autoregressive(random, 1)),
  ...Object.entries(INDEPENDENT).map(([name, draw]) => one(name, independent(draw))),
  one('daily sine, noise', random => n => 10 * Math.sin((2 * Math.PI * n) / DAY) + random.normal()),
  one('constant, 1-ulp jitter', random => () => 0.1 * (1 + random.integer(-1, 1) * Number.EPSILON)),
  one('constant, rare steps', random => {
    let level = 0
    return () => {
      if (random.uniform() < 0.001) level = random.integer(0, 9)
      return level
    }
  }),
  one('N(0,1), one step of 10', (random, length) => n => random.normal() + (n < length / 2 ? 0 : 10)),
]

/** Returns the next value of a first-order autoregressive process that starts at zero. */
export function autoregressive(random: Random, memory: number, step = 1): () => number {
  let level = 0
  return () => {
    level = memory * level + step * random.normal()
    return level
  }
}

/** Normal samples of a key before a spike or a shift. */
export const CALM = 500
