import { Failure } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'
import { interleave, type Round } from './interleave.ts'
import type { Options } from './options.ts'
import { SCENARIOS, type Scenario } from './scenarios.ts'
import type { Subject } from './subject.ts'

/** So that no figure depends on one moment of the machine, or on one start of a process. */
const PASSES = 2

type Chosen = Pick<Options, 'quick' | 'only' | 'against' | 'vary'>

/** Returns the scenarios that the options choose. */
export function chooseScenarios({ quick, only, against, vary }: Chosen): Scenario[] {
  const isComparison = against !== undefined || vary !== undefined
  const chosen = SCENARIOS.filter(({ name, inQuick, inComparison }) => {
    if (quick && !inQuick) return false
    if (only.length > 0) return only.some(text => name.includes(text))
    return inComparison || !isComparison
  })
  const unknown = only.find(text => !chosen.some(({ name }) => name.includes(text)))
  if (unknown !== undefined) throw new Failure(`no scenario has "${unknown}" in its name`)
  return chosen
}

/** Returns the rounds of a scenario in each pass. */
export function roundsOfPasses({ roundsMax, startsOnce = false }: Scenario, rounds: number): number[] {
  const all = Math.min(rounds, roundsMax)
  if (all === 1 || startsOnce) return [all]
  return [Math.ceil(all / PASSES), Math.floor(all / PASSES)]
}

/** Measures the subjects and adds their rounds to `results`, by the name of the scenario. */
export async function measure(
  options: Options,
  subjects: readonly Subject[],
  results: Map<string, Round[]>,
): Promise<void> {
  const planned = chooseScenarios(options).map(scenario => ({
    scenario,
    passes: roundsOfPasses(scenario, options.rounds),
  }))
  using clock = openClock(planned, subjects.length)
  for (let pass = 0; pass < PASSES; pass++) {
    for (const { scenario, passes } of planned) {
      const left = passes[pass] ?? 0
      if (left === 0) continue
      const measured = results.get(scenario.name) ?? []
      results.set(scenario.name, measured)
      const from = measured.length
      const all = passes.reduce((sum, one) => sum + one, 0)
      const onMeasure = ({ name }: Subject): void => {
        const round = `${scenario.name}, round ${measured.length + 1} of ${all}`
        clock.begin(scenario, measured.length === from, subjects.length > 1 ? `${round}, ${name}` : round)
      }
      const rounds = (subject: Subject) => scenario.rounds(subject, options.quick)
      const alternating = interleave(subjects, rounds, { firstRound: from, onMeasure })
      for await (const round of alternating) {
        if (measured.push(round) === from + left) break
      }
    }
  }
}

interface Planned {
  readonly scenario: Scenario
  readonly passes: readonly number[]
}

/** Shows how much is done, by how long everything takes on a quiet machine. */
function openClock(planned: readonly Planned[], subjects: number) {
  const perSubject = planned.flatMap(({ scenario: { takes }, passes }) =>
    passes.map(rounds => (rounds === 0 ? 0 : takes.startS + rounds * takes.roundS)),
  )
  const total = subjects * perSubject.reduce((sum, seconds) => sum + seconds, 0)
  const progress = openProgress({ output: process.stderr, total })
  let done = 0
  let running = 0
  return {
    /** Ends what runs, and begins a round of one subject. */
    begin({ takes }: Scenario, isFirst: boolean, text: string): void {
      done += running
      running = takes.roundS + (isFirst ? takes.startS : 0)
      progress.update(done, text)
    },
    [Symbol.dispose]: () => progress[Symbol.dispose](),
  }
}
