import { writeFileSync } from 'node:fs'

/** One figure that was held against a bound. */
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
  /** What else is worth knowing: how many connections, which answers. */
  readonly notes: Readonly<Record<string, unknown>>
}

/** Says what was measured, and keeps it in the file that TIDEMARK_HOSTILE_REPORT names, for those who quote it. */
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
