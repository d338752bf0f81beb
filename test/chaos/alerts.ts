import { isDeepStrictEqual } from 'node:util'
import type { AlertEvent } from '@tidemark/shared/detection/alerts/alert'
import {
  anomalyEnd,
  anomalyOpening,
  heardEnd,
  resolvedId,
  silentId,
  silentOpening,
} from '@tidemark/shared/detection/alerts/openings'
import { type AlertEnd, type AlertOpening, FLEET } from '@tidemark/shared/detection/alerts/record'
import type { SilenceEvent } from '@tidemark/shared/detection/alerts/silence'
import { Judge, type Judged } from '@tidemark/shared/detection/judge'
import { createRow, shapeOf } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import type { RuleInput } from '@tidemark/shared/detection/rules/rule'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { entryTimeMs, parseReceipt } from '@tidemark/shared/sample/receipt'
import type { Keys } from '@tidemark/shared/store/keys'
import { AUTHORIZATION } from './api-key.ts'
import type { Deployment } from './deployment.ts'
import type { RedisClient } from './redis-client.ts'

/**
 * Rules that open and resolve alerts by samples and by timers; verdicts use the default policy.
 * After Redis lost all data, others are put. They have the ids and versions of the first ones, so
 * an analyzer that goes on with those opens or resolves alerts that it should not.
 */
function rulesOf(losses: number): RuleInput[] {
  const alert = { resolve_after: `${1 + losses}s`, close_after: 2 + losses }
  return [
    { id: 'all', pattern: '*', alert },
    { id: 'heard', pattern: 'edge-0/*', alert, silent: `${2 + losses}s` },
  ]
}

const NOTE = { who: 'chaos', why: 'test' }

/** How long a gateway may take to accept rules: its connection to Redis may have to recover. */
const PUT_WITHIN_MS = 60_000

/** Puts the rules for after so many losses of all data; returns when they are stored. */
export async function putRules(deployment: Deployment, losses: number): Promise<void> {
  for (const { id, ...rule } of rulesOf(losses)) {
    const body = JSON.stringify({ rule, ...NOTE })
    const deadline = performance.now() + PUT_WITHIN_MS
    while (!(await put(deployment, id, body))) {
      if (performance.now() > deadline) throw new Error(`no gateway accepted the rule ${id}`)
      await pause(50)
    }
  }
}

async function put({ gateways }: Deployment, id: string, body: string): Promise<boolean> {
  const port = gateways.find(({ process }) => process !== undefined)?.process?.port
  try {
    const headers = { ...AUTHORIZATION, 'content-type': 'application/json' }
    return (await fetch(`http://127.0.0.1:${port}/rules/${id}`, { method: 'PUT', headers, body })).ok
  } catch {
    return false
  }
}

/** Allowed delay of a timer. Timers are checked once a second, and partitions may change owners. */
const BY_TIME_WITHIN_MS = 15_000

/** The alerts that Redis holds for one partition. */
export interface KeptAlerts {
  readonly openings: ReadonlyMap<string, AlertOpening>
  readonly ends: ReadonlyMap<string, AlertEnd>
  /** `opened id` and `resolved id`, in commit order. */
  readonly feed: readonly string[]
}

export async function readAlerts(redis: RedisClient, at: ReturnType<Keys['partition']>): Promise<KeptAlerts> {
  const openings = new Map<string, AlertOpening>()
  const ends = new Map<string, AlertEnd>()
  for (const [field, text] of Object.entries(await redis.hgetall(at.alerts))) {
    if (field.startsWith('o:')) openings.set(field.slice(2), JSON.parse(text))
    if (field.startsWith('e:')) ends.set(field.slice(2), JSON.parse(text))
  }
  const feed = await redis.xrange(at.alertFeed, '-', '+')
  return { openings, ends, feed: feed.map(([, [, kind, , alert]]) => `${kind} ${alert}`) }
}

export interface JudgedSample {
  readonly value: number
  readonly timestamp: number
  readonly receipt: string
}

/** Computes the alerts that the committed samples of each key must have opened and resolved. */
export class ExpectedAlerts {
  readonly #rules: RuleSet
  readonly #openings = new Map<string, AlertOpening>()
  readonly #ends = new Map<string, AlertEnd>()
  /** Openings and ends that only a timer creates, with the time at which it expires. */
  readonly #byTime = new Map<string, number>()
  #opened = 0

  /** `losses` says how often Redis lost all data: what is left was scored by the rules put then. */
  constructor(losses = 0) {
    const put = (document: RuleDocument, rule: RuleInput): RuleDocument => withRule(document, rule, { ...NOTE, at: 0 })
    this.#rules = new RuleSet(rulesOf(losses).reduce(put, EMPTY_DOCUMENT))
  }

  /** The number of alerts that samples opened. */
  get opened(): number {
    return this.#opened
  }

  add(key: string, samples: readonly JudgedSample[]): void {
    const policy = this.#rules.policies[this.#rules.resolve(key)]
    const partition = parseReceipt(samples[0]?.receipt ?? '')?.partition
    if (policy === undefined || partition === undefined) return
    const judge = new Judge(policy)
    const row = createRow(shapeOf(policy))
    const place = { partition, key, policy }
    const note = (alerts: readonly AlertEvent[], silences: readonly SilenceEvent[], judged?: Judged): string[] => {
      const ids: string[] = []
      for (const event of silences) {
        const id = silentId(event, place)
        ids.push(id)
        if (event.kind === 'silent') this.#openings.set(id, silentOpening(event, place))
        else this.#ends.set(id, heardEnd(event))
      }
      for (const event of alerts) {
        if (event.kind === 'resolved') {
          ids.push(resolvedId(event, place))
          this.#ends.set(resolvedId(event, place), anomalyEnd(event))
        } else if (judged !== undefined) {
          const { judgement, window } = judged
          const opening = anomalyOpening(event, { ...place, judgement, window })
          this.#openings.set(opening.id, opening)
        }
      }
      return ids
    }
    const before = this.#openings.size
    for (const { value, timestamp, receipt } of samples) {
      const judged = judge.step(row, value, timestamp, entryTimeMs(parseReceipt(receipt)?.id ?? ''))
      note(judged.alerts, judged.silences, judged)
    }
    this.#opened += this.#openings.size - before
    const expired = { alerts: [], silences: [] }
    judge.expire(row, Number.MAX_SAFE_INTEGER, expired)
    for (const id of note(expired.alerts, expired.silences)) {
      this.#byTime.set(id, this.#ends.get(id)?.resolved_at ?? this.#openings.get(id)?.opened_at ?? 0)
    }
  }

  /**
   * Checks I14: each alert is opened and resolved once, as the samples of its key require.
   * Openings and ends by timer may be missing if they expired shortly before `now` (Unix ms).
   */
  check(kept: readonly KeptAlerts[], now = 0): string[] {
    const openings = new Map(kept.flatMap(one => [...one.openings]))
    const ends = new Map(kept.flatMap(one => [...one.ends]))
    const violations: string[] = []
    for (const [what, expected, found] of [
      ['opening', this.#openings, openings],
      ['end', this.#ends, ends],
    ] as const) {
      for (const [id, one] of expected) {
        const there = found.get(id)
        const dueAt = this.#byTime.get(id)
        if (there === undefined && dueAt !== undefined && dueAt > now - BY_TIME_WITHIN_MS) continue
        if (!isDeepStrictEqual(there, JSON.parse(JSON.stringify(one)))) {
          violations.push(
            `I14: the ${what} of alert ${id} is ${JSON.stringify(there)}, expected ${JSON.stringify(one)}`,
          )
        }
      }
      for (const id of found.keys()) {
        // An alert storm depends on when keys alert: a slow run has some.
        if (!expected.has(id) && !id.startsWith(`${FLEET}-`))
          violations.push(`I14: unexpected ${what} of alert ${id}: no sample of its key requires it`)
      }
    }
    for (const { feed } of kept) {
      const seen = new Set<string>()
      for (const event of feed) {
        if (seen.has(event)) violations.push(`I14: the feed contains twice: ${event}`)
        seen.add(event)
      }
    }
    return violations
  }
}
