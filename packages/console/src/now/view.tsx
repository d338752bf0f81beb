import type { FeedEvent } from '@tidemark/client/feed'
import type { AlertGroupsPage, Analysis, Overview } from '@tidemark/client/types'
import { useEffect } from 'preact/hooks'
import { client } from '../api.ts'
import { useFeed } from '../feed.ts'
import { formatCount, formatDuration, formatValue, formatZ, plural } from '../format.ts'
import { Z_CAP } from '../key/sentence.ts'
import { explanationOf } from '../parts/alert.ts'
import { KeyLink } from '../parts/key-name.tsx'
import { type Level, Mark, severityLevel } from '../parts/sign.tsx'
import { Explain, Show } from '../parts/states.tsx'
import { Ago, Time } from '../parts/time.tsx'
import { visible } from '../parts/visible.ts'
import { useResource } from '../resource.ts'
import { linkTo } from '../router.ts'
import { runbookLink } from '../runbook/view.tsx'
import { type Vital, vitalsOf } from './health.ts'
import { HeatMap } from './heat-map.tsx'
import { useAnomalies } from './use-anomalies.ts'

const OVERVIEW_MS = 2000
const ALERTS_MS = 5000
const FURTHEST = 8
const RECENT_MS = 600_000
const GROUPS = 8

export function NowView() {
  const overview = useResource(signal => client.overview({ signal }), OVERVIEW_MS, [])
  const alerts = useResource(signal => client.alertGroups({ limit: GROUPS, members: 1 }, { signal }), ALERTS_MS, [])
  const anomalies = useAnomalies()
  // Both come from the same alerts: they must not contradict each other for long.
  const alerting = overview.value.value?.keys.alerting
  useEffect(alerts.refresh, [alerting])
  useFeed(
    { kind: 'anomaly,alert' },
    ({ event, data }: FeedEvent) => {
      if (event === 'anomaly') anomalies.add(data as Analysis)
      if (event === 'gap') anomalies.refresh()
      if (event === 'alert') alerts.refresh()
    },
    [],
  )
  return (
    <>
      {overview.value.value === undefined && <h1 class="unseen">Now</h1>}
      <Show of={overview}>
        {value => (
          <>
            <Headline overview={value} />
            <Strip vitals={vitalsOf(value)} warnings={value.pipeline?.warnings ?? []} />
          </>
        )}
      </Show>
      <div class="columns">
        <section class="panel" aria-labelledby="firing">
          <header>
            <h2 id="firing">Firing alerts</h2>
            <a class="small" href={linkTo('alerts')}>
              All alerts
            </a>
          </header>
          <Show of={alerts}>{page => <Groups page={page} />}</Show>
        </section>
        <section class="panel" aria-labelledby="latest">
          <header>
            <h2 id="latest">Most unusual samples</h2>
            <span class="small soft">of the last {formatDuration(RECENT_MS)}</span>
          </header>
          <Show of={anomalies}>{all => <Furthest anomalies={furthestOf(all)} />}</Show>
        </section>
      </div>
      <section class="panel" aria-labelledby="heat">
        <Show of={anomalies}>{all => <HeatMap anomalies={all} />}</Show>
      </section>
    </>
  )
}

/** The newest anomalies would be noise: a value in twenty is a little off. One a key is enough. */
function furthestOf(anomalies: readonly Analysis[]): readonly Analysis[] {
  const from = Date.now() - RECENT_MS
  const size = ({ z }: Analysis): number => Math.abs(z ?? 0)
  const byKey = new Map<string, Analysis>()
  for (const one of anomalies) {
    const best = byKey.get(one.key)
    if (one.analyzed_at >= from && (best === undefined || size(one) > size(best))) byKey.set(one.key, one)
  }
  return [...byKey.values()].sort((a, b) => size(b) - size(a)).slice(0, FURTHEST)
}

function Headline({ overview }: { readonly overview: Overview }) {
  const [level, sentence] = sentenceOf(overview)
  return (
    <div class="headline">
      <Mark level={level} size={20} />
      <h1>{sentence}</h1>
    </div>
  )
}

function sentenceOf({ keys, worst, pipeline }: Overview): readonly [Level, preact.ComponentChildren] {
  const isStopped = pipeline?.partitions.every(({ owner }) => owner === null) === true
  if (isStopped && (pipeline?.backlog ?? 0) > 0) return ['bad', 'Nothing is analysed: no analyzer is running.']
  if (keys.total === 0) {
    return [
      'none',
      <>
        No samples yet. <a href={linkTo('send')}>Send the first one.</a>
      </>,
    ]
  }
  const all = plural(keys.total, 'key')
  if (worst !== null) {
    const link = <KeyLink name={worst.key} />
    if (keys.total === 1)
      return [
        'bad',
        <>
          {link} misbehaves since <Time at={worst.since} />.
        </>,
      ]
    return [
      'bad',
      <>
        {formatCount(keys.alerting)} of {all} {keys.alerting === 1 ? 'misbehaves' : 'misbehave'}
        {keys.alerting === 1 ? ': ' : '; the worst, '}
        {link}
        {keys.alerting === 1 ? '' : ','} since <Time at={worst.since} />.
      </>,
    ]
  }
  if (keys.anomalous > 0) {
    const some = `The newest sample of ${formatCount(keys.anomalous)} of ${all} is unusual.`
    return ['warn', `No alerts are firing. ${some}`]
  }
  if (keys.warming === keys.total) return ['none', `${all} ${keys.total === 1 ? 'is' : 'are'} being learned.`]
  return ['good', keys.total === 1 ? 'The one key behaves.' : `All ${all} behave.`]
}

function Strip({ vitals, warnings }: { readonly vitals: readonly Vital[]; readonly warnings: readonly string[] }) {
  if (vitals.length === 0) return null
  return (
    <section aria-label="Health of the pipeline" class="stack">
      <dl class="strip">
        {vitals.map(({ name, figure, level, reason, runbook }) => (
          <div key={name} class={`tile ${level}-tile`}>
            <dt>
              <Mark level={level} />
              {name}
            </dt>
            <dd class="figure">{figure}</dd>
            <dd class="small soft">
              {reason}
              {runbook !== undefined && (
                <>
                  {' · '}
                  <a href={runbookLink(runbook)}>what to do</a>
                </>
              )}
            </dd>
          </div>
        ))}
      </dl>
      {warnings.map(warning => (
        <p key={warning} class="small soft line">
          <Mark level="warn" /> <span>{warning}</span>
        </p>
      ))}
    </section>
  )
}

function Groups({ page: { groups, counts } }: { readonly page: AlertGroupsPage }) {
  if (groups.length === 0) {
    return (
      <Explain title="No alerts are firing.">
        <span>An alert opens when a key misbehaves for a while, is silent, or moves to another level.</span>
      </Explain>
    )
  }
  return (
    <ul>
      {groups.map(({ id, name, severity, since, count, explanation, alerts: [first] }) => (
        <li class="entry" key={id}>
          <Mark level={severityLevel(severity)} />
          <div class="body">
            {count === 1 && first?.key != null ? (
              <KeyLink name={first.key} />
            ) : (
              <a href={linkTo('alerts', { group: id })}>{groupTitle(name)}</a>
            )}
            <span class="small soft">
              {count === 1 && first !== undefined ? explanationOf(first) : visible(explanation.slice(name.length + 2))}
            </span>
          </div>
          <span class="small soft">
            since <Time at={since} />
          </span>
        </li>
      ))}
      {counts.groups > groups.length && (
        <li class="small soft">and {plural(counts.groups - groups.length, 'more group')}</li>
      )}
    </ul>
  )
}

/** Names end with a time in UTC, which is shown in the local time. */
const groupTitle = (name: string): string => visible(name).replace(/ since [\d-]* ?\d\d:\d\d UTC$/, '')

function Furthest({ anomalies }: { readonly anomalies: readonly Analysis[] }) {
  if (anomalies.length === 0) {
    return (
      <Explain title="Nothing unusual lately.">
        <span>A sample far outside the band of its key appears here within a second.</span>
      </Explain>
    )
  }
  return (
    <ul>
      {anomalies.map(anomaly => {
        const { key, id, analyzed_at: at } = anomaly
        return (
          <li class="entry arriving" key={`${key} ${id}`}>
            <Mark level="bad" />
            <div class="body">
              <KeyLink name={key} />
              <span class="small soft num">{unusualOf(anomaly)}</span>
            </div>
            <span class="small soft">
              <Ago at={at} />
            </span>
          </li>
        )
      })}
    </ul>
  )
}

/** How far off a sample is. One that leaves a window of equal values is off by no number. */
function unusualOf({ value, z, mean, low, high }: Analysis): string {
  const usual = `usual is ${formatValue(low)} to ${formatValue(high)}`
  if (z === null) return `${formatValue(value)}, ${usual}`
  if (Math.abs(z) >= Z_CAP) return `${formatValue(value)}, while the samples before it were all ${formatValue(mean)}`
  return `${formatValue(value)} is ${formatZ(Math.abs(z))} deviations ${z > 0 ? 'high' : 'low'}, ${usual}`
}
