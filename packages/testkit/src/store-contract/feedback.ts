import type { AlertOpening, Feedback } from '@tidemark/shared/detection/alerts/record'
import type { EndedAlert, OpenedAlert } from '@tidemark/shared/store/ports/alerts'
import type { Store } from '@tidemark/shared/store/ports/store'
import { describe, expect, test } from 'vitest'
import { committer, timeCommit } from './alerts.ts'
import { keyUpdate, type OpenStore, only } from './harness.ts'

const DAY_MS = 86_400_000
const TODAY = 19_700
const KEY = 'edge-1/"cpu" ☃'
const USEFUL: Feedback = { useful: true, who: 'ada', why: null, at: 1 }
const NOISE: Feedback = { useful: false, who: null, why: 'the fan\nagain', at: 2 }

interface Changes {
  readonly day?: number
  readonly key?: string | null
  readonly rule?: string | null
  readonly kind?: 'silent' | 'level_shift'
}

function opening(n: number, { day = TODAY, key = KEY, rule = null, kind = 'silent' }: Changes = {}): AlertOpening {
  const causes = {
    silent: { kind: 'silent', last_at: 1, expected_ms: 1000 },
    level_shift: { kind: 'level_shift', value: 1, samples: 20 },
  } as const
  const opened_at = day * DAY_MS + 5000 + n
  return { id: `0-${n.toString(16).padStart(24, '0')}`, key, rule, severity: 'info', opened_at, cause: causes[kind] }
}

function opened(...openings: AlertOpening[]): { alerts: { opened: OpenedAlert[]; ended: EndedAlert[] } } {
  return { alerts: { opened: openings.map(one => ({ opening: one, openedBefore: 0, notifyAfterMs: 0 })), ended: [] } }
}

/** The counts of all keys, or of all rules. */
async function countsOf(store: Store) {
  const keys: Record<string, unknown> = {}
  for (let cursor = ''; cursor !== '0'; ) {
    const page = await store.alerts.keyAlertCounts(0, { cursor: cursor || '0', count: 1000 })
    for (const [key, counts] of page.keys) keys[key] = counts
    cursor = page.next
  }
  const [rules = new Map()] = await store.alerts.ruleAlertCounts([0])
  return { keys, rules: Object.fromEntries(rules) }
}

async function partsOf(store: Store, { id }: AlertOpening) {
  return only(await store.alerts.read(0, [id]))
}

export function describeFeedback(open: OpenStore): void {
  describe('feedback on alerts', () => {
    test('alerts are counted by day, cause and rule, once however often a commit opens them', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      await commit(opened(opening(1), opening(2, { rule: 'r' }), opening(3, { key: 'b', rule: 'r' })))
      await commit(opened(opening(1), opening(4, { kind: 'level_shift' }), opening(5, { day: TODAY + 1 })))
      const count = (name: string, more = {}) => ({ day: TODAY, name, opened: 1, useful: 0, noise: 0, ...more })
      expect(await countsOf(store)).toEqual({
        keys: {
          [KEY]: [count('silent:'), count('silent:r'), count('level_shift:'), count('silent:', { day: TODAY + 1 })],
          b: [count('silent:r')],
        },
        rules: { '': [count('', { opened: 2 }), count('', { day: TODAY + 1 })], r: [count('', { opened: 2 })] },
      })
      expect(await store.alerts.ruleAlertCounts([1])).toEqual([new Map()])
    })

    test('each alert is stored with the similar ones that its key had in the 30 days before', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      await commit(opened(opening(1, { day: TODAY - 30 }), opening(2, { day: TODAY - 29 })))
      await commit(opened(opening(3, { kind: 'level_shift' }), opening(4, { key: 'b' })))
      await store.alerts.setFeedback(0, opening(2, { day: TODAY - 29 }), NOISE)
      await commit(opened(opening(5), opening(6, { rule: 'r' })))
      const similarTo = async (one: AlertOpening) => (await partsOf(store, one))?.similar
      expect(await similarTo(opening(4))).toEqual({ opened: 0, useful: 0, noise: 0 })
      expect(await similarTo(opening(5))).toEqual({ opened: 1, useful: 0, noise: 1 })
      expect(await similarTo(opening(6))).toEqual({ opened: 2, useful: 0, noise: 1 })
      const { alerts } = await store.alerts.dueNotifications(0, 10)
      expect(alerts.find(({ id }) => id === opening(6).id)?.parts.similar).toEqual({ opened: 2, useful: 0, noise: 1 })
    })

    test('is stored, replaced and removed, and counted once whatever is repeated at the same time', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      const alert = opening(1, { rule: 'r' })
      expect(await store.alerts.setFeedback(0, alert, USEFUL)).toBe(false)
      await commit(opened(alert, opening(2)))
      const expectCounts = async (useful: number, noise: number): Promise<void> => {
        const { keys, rules } = await countsOf(store)
        expect(keys[KEY]).toContainEqual({ day: TODAY, name: 'silent:r', opened: 1, useful, noise })
        expect(rules.r).toEqual([{ day: TODAY, name: '', opened: 1, useful, noise }])
      }
      const again = Array.from({ length: 20 }, (_, i) => ({ ...(i % 2 === 0 ? NOISE : USEFUL), at: i }))
      const done = await Promise.all(again.map(one => store.alerts.setFeedback(0, alert, one)))
      expect(done).toEqual(again.map(() => true))
      const { feedback } = (await partsOf(store, alert)) ?? {}
      expect(again).toContainEqual(feedback)
      await expectCounts(feedback?.useful === true ? 1 : 0, feedback?.useful === true ? 0 : 1)
      for (let i = 0; i < 2; i++) await store.alerts.setFeedback(0, alert, NOISE)
      expect((await partsOf(store, alert))?.feedback).toEqual(NOISE)
      await expectCounts(0, 1)
      for (let i = 0; i < 2; i++) expect(await store.alerts.setFeedback(0, alert, null)).toBe(true)
      expect((await partsOf(store, alert))?.feedback).toBeUndefined()
      await expectCounts(0, 0)
    })

    test('is accepted on a resolved alert, and removed with it', async () => {
      await using under = await open()
      const { store, limits } = under
      const { commit } = await committer(store)
      const all = Array.from({ length: limits.alertsMax + 1 }, (_, n) => opening(n))
      const end = { resolved_at: TODAY * DAY_MS, resolve_reason: 'heard', peak: null } as const
      const ended = all.map(({ id, opened_at: openedAt }, n) => {
        return { id, key: KEY, cause: 'silent', openedAt, end: { ...end, resolved_at: end.resolved_at + n } } as const
      })
      await commit({ alerts: { opened: opened(...all).alerts.opened, ended: ended.slice(0, -1) } })
      expect(await store.alerts.setFeedback(0, opening(0), USEFUL)).toBe(true)
      expect((await partsOf(store, opening(0)))?.feedback).toEqual(USEFUL)
      await commit({ alerts: { opened: [], ended: ended.slice(-1) } })
      expect(await partsOf(store, opening(0))).toBeNull()
      expect(await store.alerts.setFeedback(0, opening(0), NOISE)).toBe(false)
      expect((await countsOf(store)).rules['']).toMatchObject([{ opened: all.length, useful: 1, noise: 0 }])
      // The alert that an earlier version opened has none of its parts.
      await commit(opened(opening(0)))
      expect((await partsOf(store, opening(0)))?.feedback).toBeUndefined()
    })

    test('counts of an alert of the whole fleet are not kept, its feedback is', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      const fleet = opening(1, { key: null })
      await commit(opened(fleet))
      expect(await store.alerts.setFeedback(0, fleet, NOISE)).toBe(true)
      expect((await partsOf(store, fleet))?.feedback).toEqual(NOISE)
      expect(await countsOf(store)).toEqual({ keys: {}, rules: {} })
    })

    test('counts end after 30 days, with their key, and with a rule that opens no more', async () => {
      await using under = await open()
      const { store } = under
      const { commit, lease, checkpoint } = await committer(store)
      await commit({ ...opened(opening(1), opening(2, { rule: 'old' })), keys: [keyUpdate(KEY), keyUpdate('b')] })
      await commit(opened(opening(3, { day: TODAY + 29, rule: 'r' }), opening(4, { day: TODAY + 29 })))
      expect((await countsOf(store)).rules).toMatchObject({ '': [{}, {}], old: [{}], r: [{}] })
      await commit(opened(opening(5, { day: TODAY + 31, rule: 'new' })))
      const { keys, rules } = await countsOf(store)
      const of = (day: number) => expect.objectContaining({ day })
      expect(rules).toEqual({ '': [of(TODAY), of(TODAY + 29)], r: [of(TODAY + 29)], new: [of(TODAY + 31)] })
      expect(keys[KEY]).toEqual([of(TODAY + 29), of(TODAY + 29), of(TODAY + 31)])
      const evicted = [{ key: KEY, shadow: `\u0001${KEY}`, deletion: '' }]
      expect(await store.analyzer.commit(lease, timeCommit(checkpoint(), { evicted }))).toMatchObject({ kind: 'ok' })
      expect((await countsOf(store)).keys).toEqual({})
    })
  })
}
