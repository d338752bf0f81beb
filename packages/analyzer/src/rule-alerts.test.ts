import { dayOf } from '@tidemark/shared/detection/alerts/alert-counts'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { createAnalyzerMetrics } from './metrics.ts'
import { measureRuleAlerts } from './rule-alerts.ts'

const NOW = 1_700_000_000_000

test('alerts of the last 30 days are measured by rule and mark, for rules in force only', async () => {
  const metrics = createAnalyzerMetrics(new Registry())
  const count = (day: number, opened: number, useful: number, noise: number) => ({
    day: dayOf(NOW) + day,
    name: '',
    ...{ opened, useful, noise },
  })
  const partitions = [
    new Map([
      ['', [count(-29, 5, 1, 2), count(-30, 100, 100, 0)]],
      ['deleted', [count(0, 9, 9, 0)]],
    ]),
    new Map([
      ['', [count(0, 1, 0, 0)]],
      ['r', [count(-1, 3, 0, 3)]],
    ]),
  ]
  const measure = (policies: readonly unknown[]) =>
    measureRuleAlerts({
      alerts: { ruleAlertCounts: async numbers => numbers.map(number => partitions[number] ?? new Map()) },
      partitions: [0, 1],
      rules: { policies } as never,
      metrics,
      now: NOW,
    })
  const series = async () =>
    Object.fromEntries(
      (await metrics.ruleAlerts.get()).values.map(({ labels, value }) => [`${labels.rule} ${labels.mark}`, value]),
    )
  await measure([{ rule: null }, { rule: 'r' }, { rule: 'quiet' }])
  expect(await series()).toEqual({
    ...{ ' useful': 1, ' noise': 2, ' none': 3 },
    ...{ 'r useful': 0, 'r noise': 3, 'r none': 0 },
  })
  await measure([{ rule: null }])
  expect(Object.keys(await series())).toEqual([' useful', ' noise', ' none'])
})
