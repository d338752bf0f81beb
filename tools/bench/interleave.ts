import type { Subject } from './subject.ts'

/** The named figures of one round. */
export type Measures = Readonly<Record<string, number>>

/** The figures of a round, of each subject. */
export type Round = readonly Measures[]

/** Returns the order in which a round measures: the first of one round is the last of the next. */
export function orderOf<T>(round: number, all: readonly T[]): readonly T[] {
  return round % 2 === 0 ? all : all.toReversed()
}

/**
 * Measures the subjects of a scenario in turn, round by round: a slow moment of the machine
 * concerns all of them. Stops what the scenario has started when the caller wants no more rounds.
 */
export async function* interleave(
  subjects: readonly Subject[],
  rounds: (subject: Subject) => AsyncIterable<Measures>,
  { firstRound = 0, onMeasure }: { firstRound?: number; onMeasure(subject: Subject): void },
): AsyncGenerator<Round, void> {
  const all = subjects.map((subject, index) => ({ subject, index, rounds: rounds(subject)[Symbol.asyncIterator]() }))
  try {
    for (let round = firstRound; ; round++) {
      const measures: Measures[] = []
      for (const one of orderOf(round, all)) {
        onMeasure(one.subject)
        const { value, done } = await one.rounds.next()
        if (done === true) return
        measures[one.index] = value
      }
      yield measures
    }
  } finally {
    await Promise.all(all.map(one => one.rounds.return?.()))
  }
}
