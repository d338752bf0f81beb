import {
  type SharedBucket,
  TOKEN_ROUNDING,
  type TokensTaken,
  type TokensWanted,
} from '@tidemark/shared/store/ports/limits'

/** How much of the rate one gateway holds in advance, at most: 200 ms of it. */
const AHEAD_S = 0.2

/**
 * After the store granted less than was wanted it is left alone for this long, unless the burst
 * fills sooner: a client over its limit must not cost a call for each request.
 */
const PAUSE_MS = 20

/** How long decisions are local after the store failed. */
const LOCAL_MS = 1000

/** What buckets share. */
export interface BucketContext {
  /** Of the store's, with a timeout. Undefined where decisions are local. */
  readonly take: ((bucket: SharedBucket, wanted: TokensWanted) => Promise<TokensTaken>) | undefined
  /** Gateways that run, as far as this one knows: at least 1. */
  readonly gateways: number
  /** Milliseconds of a monotonic clock. */
  now(): number
  onFailure(error: unknown): void
}

interface Waiting {
  readonly cost: number
  readonly resolve: (retryAfterS: number) => void
}

/**
 * One gateway's view of a rate limit that all gateways share. Tokens come from the store in chunks,
 * ahead of need, so most decisions are arithmetic; no token is used that the store did not grant,
 * so the limit is exact however many gateways there are. Between calls the bucket knows the most
 * that the store can have left, because other gateways only take: it refuses without a call.
 *
 * While the store fails, each gateway applies its part of the limit by itself.
 */
export class TokenBucket {
  readonly #context: BucketContext
  readonly #name: string
  #bucket: SharedBucket
  /** Granted by the store and not used. */
  #reserve = 0
  /** At most this many tokens were left in the store at `#atMs`. */
  #left: number
  #atMs: number
  /** Tokens used since `#atMs`: how fast the client is. */
  #used = 0
  /** Of the last call, how many tokens were wanted in advance. */
  #ahead = 0
  #pausedUntilMs = Number.NEGATIVE_INFINITY
  #localUntilMs = Number.NEGATIVE_INFINITY
  /** Requests that only the store can decide on, in order of arrival. */
  readonly #waiting: Waiting[] = []
  #isBusy = false
  #lowBelow: number

  constructor(context: BucketContext, name: string, perS: number, burst: number) {
    this.#context = context
    this.#name = name
    this.#bucket = { name, perS, burst }
    this.#left = burst
    this.#atMs = context.now()
    this.#lowBelow = lowBelow(burst)
  }

  get perS(): number {
    return this.#bucket.perS
  }

  get burst(): number {
    return this.#bucket.burst
  }

  /** Applies another limit to the same bucket. */
  change(perS: number, burst: number): void {
    this.#left = this.#leftAt(this.#context.now())
    this.#atMs = this.#context.now()
    this.#bucket = { name: this.#name, perS, burst }
    this.#lowBelow = lowBelow(burst)
  }

  /**
   * Takes tokens for a request. Returns 0 when it is admitted, else the seconds after which it may
   * be: fractions too. A promise is returned when the store has to decide; it does not reject.
   */
  take(cost: number): number | Promise<number> {
    if (this.#reserve < cost || this.#waiting.length > 0) return this.#takeBeyondReserve(cost)
    this.#reserve -= cost
    this.#used += cost
    if (this.#reserve < this.#ahead / 2) this.#refill()
    return 0
  }

  /** Returns the seconds until `cost` can be admitted, as far as is known; 0 if it may be now. */
  waitFor(cost: number): number {
    if (this.#reserve >= cost) return 0
    const nowMs = this.#context.now()
    const missing = this.#neededFromStore(cost) - this.#leftAt(nowMs)
    const untilTokensS = missing > TOKEN_ROUNDING ? missing / (this.#bucket.perS * this.#part(nowMs)) : 0
    return Math.max(untilTokensS, (this.#pausedUntilMs - nowMs) / 1000, 0)
  }

  /** The tokens that are left, at most. Negative in debt. */
  get remaining(): number {
    return this.#reserve + this.#leftAt(this.#context.now())
  }

  /**
   * Whether so little is left that the client should know. What was regained since the last call of
   * the store does not count: this is read for each response.
   */
  get isLow(): boolean {
    return this.#reserve + this.#left < this.#lowBelow
  }

  get isFull(): boolean {
    return this.remaining >= this.#bucket.burst
  }

  /** Gives back what the client has not used. To be called when it is idle. */
  release(): void {
    if (this.#reserve > 0 && !this.#isBusy && !this.#isLocal()) void this.#serve({ cost: -this.#reserve, ahead: 0 })
  }

  #takeBeyondReserve(cost: number): number | Promise<number> {
    if (this.#waiting.length === 0) {
      const waitS = this.waitFor(cost)
      if (waitS > 0) return waitS
      if (this.#isLocal()) {
        this.#use(cost)
        return 0
      }
    }
    return new Promise(resolve => {
      this.#waiting.push({ cost, resolve })
      if (!this.#isBusy) void this.#serve()
    })
  }

  /** Takes tokens ahead of need, in the background. */
  #refill(): void {
    if (this.#isBusy || this.#isLocal() || this.waitFor(this.#reserve + 1) > 0) return
    const ahead = this.#nextAhead()
    if (ahead > 0) void this.#serve({ cost: 0, ahead })
  }

  /**
   * Makes one call of the store after another: the one that is given, and what the waiting requests
   * need. It never rejects: a failure of the store makes decisions local.
   */
  async #serve(wanted?: TokensWanted): Promise<void> {
    this.#isBusy = true
    if (wanted !== undefined) await this.#call(wanted)
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const { cost, resolve } = first
      const waitS = this.waitFor(cost)
      if (waitS === 0 && this.#reserve < cost && !this.#isLocal()) {
        let ahead = this.#nextAhead()
        for (let i = 1; i < this.#waiting.length; i++) ahead += this.#waiting[i]?.cost ?? 0
        await this.#call({ cost: cost - this.#reserve, ahead })
        continue
      }
      this.#waiting.shift()
      if (waitS === 0) this.#use(cost)
      resolve(waitS)
    }
    this.#isBusy = false
  }

  /** A client that was idle gets nothing in advance: the tokens would be missing elsewhere. */
  #nextAhead(): number {
    const usedPerS = this.#used / Math.max(0.001, (this.#context.now() - this.#atMs) / 1000)
    this.#ahead = Math.floor(Math.min(this.#bucket.perS, usedPerS) * AHEAD_S)
    return this.#ahead
  }

  async #call(wanted: TokensWanted): Promise<void> {
    const { take, now, onFailure } = this.#context
    const sentMs = now()
    const { perS, burst } = this.#bucket
    // What is given back must not be used meanwhile.
    if (wanted.cost < 0) this.#reserve += wanted.cost
    try {
      const { granted, tokens } = (await take?.(this.#bucket, wanted)) ?? NOTHING
      if (wanted.cost >= 0) this.#reserve += granted
      // The store had them later than that, so it never has more than follows from this.
      this.#left = tokens
      this.#atMs = sentMs
      this.#used = 0
      if (granted < wanted.cost + wanted.ahead) {
        this.#pausedUntilMs = sentMs + Math.min(PAUSE_MS, (burst / perS) * 500)
      }
    } catch (error) {
      onFailure(error)
      const nowMs = now()
      this.#left = this.#leftAt(nowMs)
      this.#atMs = nowMs
      this.#localUntilMs = nowMs + LOCAL_MS
    }
  }

  #use(cost: number): void {
    this.#used += cost
    this.#reserve -= cost
    if (this.#reserve >= 0) return
    // Decided locally.
    const nowMs = this.#context.now()
    this.#left = this.#leftAt(nowMs) + this.#reserve
    this.#atMs = nowMs
    this.#reserve = 0
  }

  #neededFromStore(cost: number): number {
    return Math.min(cost - this.#reserve, this.#burstAt(this.#context.now()))
  }

  #leftAt(nowMs: number): number {
    const gained = ((nowMs - this.#atMs) / 1000) * this.#bucket.perS * this.#part(nowMs)
    return Math.min(this.#burstAt(nowMs), this.#left + gained)
  }

  #burstAt(nowMs: number): number {
    return Math.max(1, this.#bucket.burst * this.#part(nowMs))
  }

  /** The part of the limit that this gateway applies by itself; all of it is shared otherwise. */
  #part(nowMs: number): number {
    return this.#isLocal(nowMs) ? 1 / this.#context.gateways : 1
  }

  #isLocal(nowMs = this.#context.now()): boolean {
    return this.#context.take === undefined || nowMs < this.#localUntilMs
  }
}

/** Clients with few tokens always know how many are left; others once half of them are used. */
function lowBelow(burst: number): number {
  return Math.max(1000, burst / 2)
}

const NOTHING: TokensTaken = { granted: 0, tokens: 0 }
