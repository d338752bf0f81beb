import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { expect, test } from 'vitest'
import { Effects } from './effects.ts'

const NOW = 1_700_000_000_000
const RULE = { id: 'a', pattern: '*', silent: '60s', alert: { resolve_after: '30s' } }
const RULES = new RuleSet(withRule(EMPTY_DOCUMENT, RULE, { who: 'ada', why: 'test', at: NOW }))
const SILENT = { kind: 'silent', time: NOW, lastAt: NOW - 60_000, lastCount: 9, expectedMs: 60_000 } as const
const ENDED = {
  kind: 'resolved',
  time: NOW,
  openedAt: NOW - 61_000,
  openedCount: 8,
  peak: 9,
  peakValue: 50,
  samples: 2,
} as const

test.each([
  ['before the end of an alert that it ends', [{ ...ENDED, reason: 'no_samples' as const }], -1],
  ['after the usual wait if no alert was open', [], 2000],
  ['after the usual wait if the alert had ended', [{ ...ENDED, reason: 'calm' as const }], 2000],
])('receivers are notified of a silence %s', (_, alerts, notifyAfterMs) => {
  const policy = RULES.policies[RULES.resolve('key')]
  if (policy === undefined) throw new Error('no policy')
  const effects = new Effects({ partition: 0, alertWaitMs: 2000 })
  effects.addExpired('key', policy, { silences: [SILENT], alerts })
  expect(effects.opened.map(one => [one.opening.cause.kind, one.notifyAfterMs])).toEqual([['silent', notifyAfterMs]])
  expect(effects.ended).toHaveLength(alerts.length)
})

test.each([
  ['at once, but after the end of another', 2000, 1],
  ['at once where others are', 0, 0],
])('receivers are notified of a critical alert %s', (_, alertWaitMs, notifyAfterMs) => {
  const rule = { ...RULE, alert: { severity: 'critical' } }
  const rules = new RuleSet(withRule(EMPTY_DOCUMENT, rule, { who: 'ada', why: 'test', at: NOW }))
  const policy = rules.policies[rules.resolve('key')]
  if (policy === undefined) throw new Error('no policy')
  const effects = new Effects({ partition: 0, alertWaitMs })
  effects.addExpired('key', policy, { silences: [SILENT], alerts: [] })
  expect(effects.opened).toMatchObject([{ opening: { severity: 'critical' }, notifyAfterMs }])
})
