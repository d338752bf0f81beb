import type { Random } from '@tidemark/testkit/random'

/** A signal without anomalies: every flag is a false alarm, unless the name says otherwise. */
export interface Signal {
  readonly name: string
  /** Keys over which the samples are spread. The signal starts again for each key. */
  readonly keys: number
  /** Returns a function for sample `n`, to be called in order: signals have state. */
  create(random: Random, length: number): (n: number) => number
}

/** One sample a minute. */
const DAY = 1440

const independent = (draw: (random: Random) => number) => (random: Random) => () => draw(random)

const one = (name: string, create: Signal['create']): Signal => ({ name, keys: 1, create })

export const SIGNALS: readonly Signal[] = [
  one(
    'N(0,1)',
    independent(random => random.normal()),
  ),
  { name: 'N(0,1), 1,000 new keys', keys: 1000, create: independent(random => random.normal()) },
  one('AR(1) 0.95', random => {
    let level = 0
    return () => (level = 0.95 * level + random.normal())
  }),
  one('random walk', random => {
    let level = 0
    return () => (level += random.normal())
  }),
  one(
    'Poisson 5',
    independent(random => random.poisson(5)),
  ),
  one(
    'Poisson 0.05',
    independent(random => random.poisson(0.05)),
  ),
  one(
    'Student t3',
    independent(random => random.student3()),
  ),
  one(
    'lognormal',
    independent(random => Math.exp(random.normal())),
  ),
  one(
    'Pareto 1.5',
    independent(random => random.pareto(1.5)),
  ),
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

/** Normal samples of a key before a spike or a shift. */
export const CALM = 500
