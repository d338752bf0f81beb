import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import {
  ALERTMANAGER_OUTPUT,
  RULES_OUTPUT,
  renderAlertmanagerConfig,
  renderPrometheusRules,
} from './operator-objects.ts'

test('the rules in k8s/ are those of prometheus/ (npm run manifests updates them)', () => {
  expect(readFileSync(RULES_OUTPUT, 'utf8')).toBe(renderPrometheusRules())
})

test('the routes in k8s/ are those of alertmanager/ (npm run manifests updates them)', () => {
  expect(readFileSync(ALERTMANAGER_OUTPUT, 'utf8')).toBe(renderAlertmanagerConfig())
})

test('routes, receivers and inhibitions get the names that the Prometheus Operator uses', () => {
  const { spec } = parse(
    renderAlertmanagerConfig(`
route:
  receiver: all
  group_by: [namespace]
  routes: [{ receiver: pager, matchers: ['severity="critical"', 'alertname!~"A|B"'], group_wait: 10s }]
receivers: [{ name: all }, { name: pager }]
inhibit_rules: [{ source_matchers: ['a="b"'], target_matchers: ['c=~"d|e"'], equal: [namespace] }]
`),
  )
  expect(spec).toEqual({
    route: {
      receiver: 'all',
      groupBy: ['namespace'],
      routes: [
        {
          receiver: 'pager',
          groupWait: '10s',
          matchers: [
            { name: 'severity', matchType: '=', value: 'critical' },
            { name: 'alertname', matchType: '!~', value: 'A|B' },
          ],
        },
      ],
    },
    receivers: [{ name: 'all' }, { name: 'pager' }],
    inhibitRules: [
      {
        sourceMatch: [{ name: 'a', matchType: '=', value: 'b' }],
        targetMatch: [{ name: 'c', matchType: '=~', value: 'd|e' }],
        equal: ['namespace'],
      },
    ],
  })
})

test('a matcher that cannot be parsed is an error', () => {
  expect(() =>
    renderAlertmanagerConfig('{route: {receiver: a, matchers: [severity]}, receivers: [], inhibit_rules: []}'),
  ).toThrow('not a matcher: severity')
})

test('rules of another namespace select nothing of the default ones, and link to another runbook', () => {
  const text = renderPrometheusRules({ namespace: 'metrics', runbook: 'https://wiki.example.com/runbook#' })
  const namespaces = [...text.matchAll(/namespace(?:="|: )([a-z]+)/g)].map(([, namespace]) => namespace)
  expect([...new Set(namespaces)]).toEqual(['metrics'])
  const links = [...text.matchAll(/runbook_url: (.*)/g)].map(([, link]) => link)
  expect(links.length).toBeGreaterThan(40)
  expect(links.filter(link => !/^"?https:\/\/wiki\.example\.com\/runbook#[a-z]+"?$/.test(link ?? ''))).toEqual([])
})
