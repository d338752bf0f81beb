import type { FeedRequest } from '../services.ts'
import type { FeedEvent } from './events.ts'
import type { Position, Scope } from './position.ts'

/** One open feed. */
export class Subscriber {
  readonly request: FeedRequest
  readonly scope: Scope
  readonly slots: ReadonlySet<number>
  /** Subscribers with equal ones get equal bytes. */
  readonly signature: string
  /** How far it has come; undefined if that is as far as the feed. */
  at: Position | undefined
  isOpen = true
  /** Whether it takes bytes, and since when. */
  isReady = false
  readyAt = 0
  wroteAt: number
  /** It did not take bytes for long, so that it gets the newest analysis of each key only. */
  isSlow = false
  /** Bytes that it was given and has not taken. */
  unsent = 0
  /** When it was last checked whether its caller may still read. */
  checkedAt: number

  constructor(request: FeedRequest, scope: Scope, now: number) {
    const { key, prefixes, states } = request.filter
    this.request = request
    this.scope = scope
    this.slots = new Set(scope.slots)
    this.signature = JSON.stringify([scope.name, key, prefixes, [...(states ?? [])]])
    this.wroteAt = now
    this.checkedAt = now
  }

  wants(event: FeedEvent): boolean {
    const { key, prefixes, states } = this.request.filter
    if (key !== undefined && event.key !== key) return false
    for (const prefix of prefixes) if (prefix !== '' && event.key?.startsWith(prefix) !== true) return false
    return states === undefined || states.has(event.state)
  }
}
