import { writeFileSync } from 'node:fs'

/** A measured figure and its bound. */
export interface Figure {
  readonly what: string
  readonly measured: number
  readonly bound: number
  readonly unit: string
}

export interface AttackReport {
  readonly attack: string
  readonly seconds: number
  readonly figures: readonly Figure[]
  /** Additional facts, such as the number of connections and their responses. */
  readonly notes: Readonly<Record<string, unknown>>
}

/** Prints the figures, and writes them to the file in TIDEMARK_HOSTILE_REPORT if that is set. */
export class Report {
  readonly #attacks: AttackReport[] = []

  add(attack: AttackReport): void {
    this.#attacks.push(attack)
    const figures = attack.figures.map(({ what, measured, bound, unit }) => `${what} ${measured}/${bound} ${unit}`)
    process.stdout.write(
      `${attack.attack} (${attack.seconds} s): ${figures.join(', ')} ${JSON.stringify(attack.notes)}\n`,
    )
    const path = process.env.TIDEMARK_HOSTILE_REPORT
    if (path !== undefined && path !== '') writeFileSync(path, `${JSON.stringify(this.#attacks, null, 2)}\n`)
  }
}
