import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import { readConfig } from '@tidemark/shared/runtime/config'
import { LOAD_KEYS } from '@tidemark/shared/sample/load-keys'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import type { Store } from '@tidemark/shared/store/ports/store'
import { eventually } from '@tidemark/testkit/eventually'
import { packSamples } from '@tidemark/testkit/samples'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { startAnalyzer } from '../src/analyzer.ts'
import { analyzerSettings } from '../src/config.ts'

const BY = { who: 'ada', why: 'test', at: 0 }

/** Counts each of these events at least once; other metrics belong to failures and backlogs. */
const AFFECTED = [
  'analyzer_commits_total',
  'analyzer_samples_analysed_total',
  'analyzer_anomalies_total',
  'metrics_anomaly_total',
  'analyzer_dead_entries_total',
  'analyzer_takeovers_total',
  'analyzer_recoveries_total',
  'analyzer_windows_loaded_total',
  'analyzer_windows_unreadable_total',
  'analyzer_alerts_opened_total',
  'analyzer_alerts_resolved_total',
  'analyzer_samples_late_total',
  'analyzer_samples_duplicate_total',
  'analyzer_samples_refused_total',
  'analyzer_rule_samples_judged_total',
  'analyzer_rule_samples_flagged_total',
  'analyzer_rule_samples_expected_total',
  'analyzer_partitions_owned',
  'analyzer_partitions',
  'analyzer_members',
  'analyzer_windows_kept',
  'analyzer_windows_bytes',
  'analyzer_timers',
  'analyzer_account_samples',
  'analyzer_rules_version',
  'analyzer_batch_samples',
  'analyzer_batch_seconds',
  'analyzer_delay_seconds',
]

/** And what each shows in the end: exact numbers where the samples alone decide. */
const EXACT: Readonly<Record<string, number>> = {
  // The two that were refused are processed, too.
  analyzer_samples_analysed_total: 77,
  analyzer_samples_late_total: 1,
  analyzer_samples_duplicate_total: 1,
  analyzer_samples_refused_total: 2,
  analyzer_dead_entries_total: 1,
  analyzer_dead_letters: 1,
  analyzer_takeovers_total: 1,
  analyzer_windows_unreadable_total: 1,
  analyzer_partitions_owned: 1,
  analyzer_partitions: 1,
  analyzer_members: 1,
  analyzer_windows_kept: 2,
  analyzer_rules_version: 1,
}

test('each metric of an analyzer shows what happened', async () => {
  await using stack = new AsyncDisposableStack()
  const memory = createMemoryStore({ partitions: 1 })
  const rule = { late: 'refuse', duplicates: 'drop', budget: '1 per key per day' }
  const document = withRule(EMPTY_DOCUMENT, { id: 'r', pattern: 'default/*', ...rule }, BY)
  const change = { ...BY, version: 1, kind: 'rule_put', id: 'r', content: { pattern: 'default/*', ...rule } } as const
  expect(await memory.rules.replace(document, change, await memory.rules.digest())).toBe(true)
  const registry = new Registry()
  const config = readConfig(analyzerSettings, {
    REDIS_URL: 'redis://unused',
    HEARTBEAT_MS: '50',
    ALERT_WAIT_MS: '0',
  })
  const connected = memory.connect()
  const loadWindows: Store['analyzer']['loadWindows'] = async (partition, keys) => {
    const found = await connected.analyzer.loadWindows(partition, keys)
    return found.map((window, i) => (keys[i] === 'odd' ? { row: new Uint8Array([1, 2, 3]), tail: null } : window))
  }
  const store = { ...connected, analyzer: { ...connected.analyzer, loadWindows } }
  stack.use(startAnalyzer({ config, store, log: pino({ level: 'silent' }), registry }))

  let time = 1_700_000_000_000
  const append = async (...samples: { key: string; value: number; timestamp: number }[]): Promise<void> => {
    await memory.gateway.append([{ partition: 0, samples: packSamples(samples), count: samples.length }])
  }
  const next = (value: number) => {
    time += 1000
    return { key: LOAD_KEYS.rps, value, timestamp: time }
  }
  await append(...Array.from({ length: 60 }, (_, i) => next(20 + (i % 5))))
  await append(next(900), next(905), next(910), next(915))
  await append(...Array.from({ length: 10 }, (_, i) => next(20 + (i % 5))))
  await append(
    { key: LOAD_KEYS.rps, value: 1, timestamp: time - 5000 },
    { key: LOAD_KEYS.rps, value: 24, timestamp: time },
  )
  await append({ key: 'odd', value: 1, timestamp: time })
  memory.inspect.appendRaw(0, { s: 'not JSON' })

  const sumOf = async (name: string): Promise<number> => {
    const { values } = (await registry.getSingleMetric(name)?.get()) ?? { values: [] }
    return values.reduce((sum, one) => sum + one.value, 0)
  }
  await eventually(async () => {
    const silent = []
    for (const name of AFFECTED) if (!((await sumOf(name)) > 0)) silent.push(name)
    expect(silent).toEqual([])
    const found = Object.fromEntries(await Promise.all(Object.keys(EXACT).map(async name => [name, await sumOf(name)])))
    expect(found).toEqual(EXACT)
  })
  const { values = [] } = (await registry.getSingleMetric('analyzer_account_samples')?.get()) ?? {}
  const account = Object.fromEntries(values.map(({ labels, value }) => [labels.state, value]))
  expect(account).toMatchObject({ analysed: 77, dead: 0, lost: 0, waiting: 0 })
})
