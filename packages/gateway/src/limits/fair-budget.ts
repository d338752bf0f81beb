/** What one client uses of a budget. */
export interface Share {
  used: number
}

/**
 * How much of what is free a client may use, as a multiple: a client alone gets the whole budget,
 * and two greedy ones get 0.56 of it each.
 */
const FREE_FACTOR = 4

/** What is kept for others when one client uses the whole budget, as a part of the budget. */
const RESERVE = 1 / FREE_FACTOR

/**
 * A budget that no client can use up for others. The threshold of each client is a multiple of what
 * is free (dynamic thresholds, Choudhury and Hahne 1998), so it needs no list of clients: the more
 * is used, the less a greedy client may add, while one that uses little is admitted. All clients
 * together use at most 1.25 budgets.
 */
export class FairBudget {
  readonly #max: number
  #used = 0

  constructor(max: number) {
    this.#max = max
  }

  /** What all clients use. */
  get used(): number {
    return this.#used
  }

  hasRoomFor(share: Share, amount: number): boolean {
    const free = this.#max * (1 + RESERVE) - this.#used - amount
    return share.used + amount <= FREE_FACTOR * free
  }

  take(share: Share, amount: number): void {
    share.used += amount
    this.#used += amount
  }

  giveBack(share: Share, amount: number): void {
    share.used -= amount
    this.#used -= amount
  }
}
