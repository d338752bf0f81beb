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
import { createRow, rowShape } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { entryTimeMs, parseReceipt } from '@tidemark/shared/sample/receipt'
import { type Keys, keysUnder } from '@tidemark/shared/store/keys'
import { PREFIX, type RedisClient } from './redis-client.ts'

/** Rules that open and resolve alerts by samples and by timers; verdicts use the default policy. */
const RULES = [
  { id: 'all', pattern: '*', alert: { resolve_after: '1s', close_after: 2 } },
  { id: 'heard', pattern: 'edge-0/*', alert: { resolve_after: '1s', close_after: 2 }, silent: '2s' },
]
const DOCUMENT = RULES.reduce(
  (document, rule) => withRule(document, rule, { who: 'chaos', why: 'test', at: 0 }),
  EMPTY_DOCUMENT,
)
const COMPILED = new RuleSet(DOCUMENT)

const { rules: RULES_KEY } = keysUnder(PREFIX)
const KEPT_RULES = { version: DOCUMENT.version, document: JSON.stringify(DOCUMENT) }

/** Stores the rules of the run. Call it before the first sample is scored. */
export async function putRules(redis: RedisClient): Promise<void> {
  await redis.hset(RULES_KEY, KEPT_RULES)
}

/** Deletes everything in Redis except the rules: all verdicts of a run must use the same rules. */
export async function flushAllButRules(redis: RedisClient): Promise<void> {
  await redis.multi().flushall().hset(RULES_KEY, KEPT_RULES).exec()
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
  readonly #openings = new Map<string, AlertOpening>()
  readonly #ends = new Map<string, AlertEnd>()
  /** Openings and ends that only a timer creates, with the time at which it expires. */
  readonly #byTime = new Map<string, number>()
  #opened = 0

  /** The number of alerts that samples opened. */
  get opened(): number {
    return this.#opened
  }

  add(key: string, samples: readonly JudgedSample[]): void {
    const policy = COMPILED.policies[COMPILED.resolve(key)]
    const partition = parseReceipt(samples[0]?.receipt ?? '')?.partition
    if (policy === undefined || partition === undefined) return
    const judge = new Judge(policy)
    const row = createRow(rowShape(policy.window, policy.detector, policy.silence !== null))
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
