import { useSignal } from '@preact/signals'
import type { FeedEvent } from '@tidemark/client/feed'
import type { Alert, Analysis, RuleExplanation } from '@tidemark/client/types'
import { useEffect } from 'preact/hooks'
import { client } from '../api.ts'
import { isLive, useFeed } from '../feed.ts'
import { formatFull, formatValue } from '../format.ts'
import { explanationOf } from '../parts/alert.ts'
import { Copy } from '../parts/copy.tsx'
import { KeyName } from '../parts/key-name.tsx'
import { Mark, severityLevel, stateSign } from '../parts/sign.tsx'
import { Explain, FailureNote, Show } from '../parts/states.tsx'
import { Ago, Time } from '../parts/time.tsx'
import { useResource } from '../resource.ts'
import { linkTo, place } from '../router.ts'
import { bucketsToCsv, joinLevels, ZOOMS, type Zoom } from './buckets.ts'
import { Chart, type Marker } from './chart.tsx'
import { merge, type Point, pointOfAnalysis, pointsOfHistory, rateOf, toCsv } from './points.ts'
import { sentenceOf } from './sentence.ts'

/** With the feed, a read only repairs what it missed. */
const AGAIN_MS = 700
const AGAIN_LIVE_MS = 15_000
const ALERTS_MS = 5000
const RULE_MS = 15_000

/** Of the samples that the page has; ZOOMS are longer ones, of aggregates. */
const SPANS = [
  [60_000, '1 min'],
  [300_000, '5 min'],
  [0, 'Newest'],
] as const
const SHOWN = [...SPANS, ...ZOOMS.map(({ spanMs, title }) => [spanMs, title] as const)]

/** The finest bucket is 10 s long. */
const ZOOM_MS = 10_000

const ROWS = 20
const ANOMALIES = 200

export function KeyView() {
  const key = place.value.parameters.get('key') ?? ''
  if (key === '') {
    return (
      <section class="panel">
        <Explain title="This link names no key.">
          <a href={linkTo('keys')}>All keys</a>
        </Explain>
      </section>
    )
  }
  // Another key begins with nothing of the last one.
  return <OneKey key={key} name={key} />
}

function OneKey({ name }: { readonly name: string }) {
  const points = useSignal<readonly Point[]>([])
  const paused = useSignal<readonly Point[] | undefined>(undefined)
  const analysis = useSignal<Analysis | undefined>(undefined)
  const spanMs = useSignal(0)
  const everyMs = isLive.value ? AGAIN_LIVE_MS : AGAIN_MS
  const read = useResource(
    async signal => {
      const [newest, history, { anomalies }] = await Promise.all([
        client.analyze(name, { signal }),
        client.history(name, { signal }),
        // A window may leave anomalies out, and a longer past has more of them.
        client.anomalies({ key: name, limit: ANOMALIES }, { signal }),
      ])
      const since = history.timestamps[0] ?? 0
      const unusual = [...anomalies, newest].filter(({ timestamp }) => timestamp >= since)
      points.value = merge(points.peek(), [...pointsOfHistory(history), ...unusual.map(pointOfAnalysis)])
      if (newest.count >= (analysis.peek()?.count ?? 0)) analysis.value = newest
      return newest
    },
    everyMs,
    [name, everyMs],
  )
  const alerts = useResource(signal => alertsOf(name, signal), ALERTS_MS, [name])
  const rule = useResource(signal => client.explainRules(name, { signal }), RULE_MS, [name])
  useFeed(
    { key: name, kind: 'analysis,alert' },
    ({ event, data }: FeedEvent) => {
      if (event === 'analysis') {
        const one = data as Analysis
        points.value = merge(points.peek(), [pointOfAnalysis(one)])
        if (one.count >= (analysis.peek()?.count ?? 0)) analysis.value = one
      } else if (event === 'alert') alerts.refresh()
      else if (event === 'gap') read.refresh()
    },
    [name],
  )
  const markers = useSignal<readonly Marker[]>([])
  useEffect(() => {
    markers.value = (alerts.value.value ?? []).map(({ opened_at, resolved_at }) => ({
      from: opened_at,
      to: resolved_at,
    }))
  }, [alerts.value.value])
  const zoom = ZOOMS.find(one => one.spanMs === spanMs.value)
  const levels = useResource(
    async signal => {
      if (zoom === undefined) return []
      const from = Date.now() - zoom.spanMs
      // Finer levels are kept for a part of the time only.
      return Promise.all(
        zoom.steps.map((step, i) =>
          client.aggregates(name, i < zoom.steps.length - 1 ? { step } : { step, from }, { signal }),
        ),
      )
    },
    ZOOM_MS,
    [name, zoom],
  )
  const shown = useSignal<readonly Point[]>([])
  useEffect(() => {
    const newest = points.value
    const isCounter = analysis.value?.rate !== undefined
    const live = zoom === undefined ? newest : joinLevels(levels.value.value ?? [], newest, isCounter)
    shown.value = paused.value ?? live
  }, [points.value, paused.value, levels.value.value, zoom])

  const newest = analysis.value
  if (newest === undefined) {
    const failure = read.failure.value
    return (
      <>
        <h1>
          <KeyName name={name} />
        </h1>
        {failure === undefined ? (
          <p role="status">Loading …</p>
        ) : failure.kind === 'key-unknown' ? (
          <section class="panel">
            <Explain title="No sample of this key was analysed.">
              <span>It may not have been sent, or the key was deleted. This page shows it as soon as it is there.</span>
              <a href={linkTo('keys')}>All keys</a>
            </Explain>
          </section>
        ) : (
          <section class="panel">
            <FailureNote failure={failure} />
          </section>
        )}
      </>
    )
  }
  const firing = alerts.value.value?.find(({ state }) => state === 'firing')
  const isPaused = paused.value !== undefined
  return (
    <>
      <div class="stack">
        <h1>
          <KeyName name={name} />
        </h1>
        <div class="line" role="status">
          {stateSign(newest.state)}
          <p>{sentenceOf(newest, rateOf(points.value))}</p>
        </div>
        {firing !== undefined && (
          <p class="line">
            <Mark level={severityLevel(firing.severity)} />
            <span>
              {explanationOf(firing)} Since <Time at={firing.opened_at} />.{' '}
              <a href={linkTo('alerts', { prefix: name })}>The alert</a>
            </span>
          </p>
        )}
      </div>
      <section class="panel" aria-label="Chart">
        <header>
          <div class="row" role="group" aria-label="Time shown">
            {SHOWN.map(([ms, title]) => (
              <button
                key={title}
                type="button"
                class="button"
                aria-pressed={spanMs.value === ms}
                onClick={() => {
                  paused.value = undefined
                  spanMs.value = ms
                }}
              >
                {title}
              </button>
            ))}
          </div>
          <div class="row">
            <button
              type="button"
              class="button"
              aria-pressed={isPaused}
              onClick={() => {
                paused.value = isPaused ? undefined : shown.value
              }}
            >
              Pause
            </button>
            <button
              type="button"
              class="button"
              onClick={() => download(name, zoom === undefined ? toCsv(shown.value) : bucketsToCsv(shown.value))}
            >
              CSV
            </button>
          </div>
        </header>
        <Chart
          label={`Values of ${name} over time with their band. The table below has the newest ones.`}
          points={shown}
          markers={markers}
          spanMs={spanMs.value}
        />
        <details>
          <summary class="small soft">Newest values as a table</summary>
          <ValueTable points={(zoom === undefined ? shown.value : points.value).slice(-ROWS).reverse()} />
        </details>
      </section>
      <div class="columns">
        <section class="panel" aria-labelledby="facts">
          <header>
            <h2 id="facts">What is known</h2>
          </header>
          <dl class="facts">
            <dt>Last sample</dt>
            <dd>
              <Ago at={newest.analyzed_at} />
            </dd>
            <dt>Usual range</dt>
            <dd class="num">
              {newest.low === null ? 'not known yet' : `${formatValue(newest.low)} to ${formatValue(newest.high)}`}
            </dd>
            <dt>Samples</dt>
            <dd class="num">
              {newest.count.toLocaleString(navigator.languages as string[])}, of which the newest {newest.window} are
              the window
            </dd>
            <dt>Rule</dt>
            <dd>
              <Show of={rule}>{explanation => <Rule explanation={explanation} />}</Show>
            </dd>
          </dl>
        </section>
        <section class="panel" aria-labelledby="past">
          <header>
            <h2 id="past">Alerts of this key</h2>
          </header>
          <Show of={alerts}>{all => <KeyAlerts alerts={all} />}</Show>
        </section>
      </div>
      <section class="panel stack" aria-labelledby="same">
        <h2 id="same">The same from elsewhere</h2>
        <Copy text={curlOf(name, zoom)} what="command" />
        <Copy text={location.href} what="link" />
      </section>
    </>
  )
}

function Rule({ explanation: { rule, reason, policy, muted } }: { readonly explanation: RuleExplanation }) {
  const limit = policy.budget === null ? `threshold ${formatValue(policy.threshold)}` : `budget ${policy.budget}`
  return (
    <>
      {rule === null ? 'the default' : <code>{rule}</code>}: {reason}.{' '}
      <span class="soft">
        {policy.detector}, {limit}, window {policy.window}
        {policy.direction === 'both' ? '' : `, only ${policy.direction}`}
      </span>
      {muted !== null && (
        <p>
          Muted until <Time at={muted.until} /> by {muted.who}: {muted.why}
        </p>
      )}
    </>
  )
}

function KeyAlerts({ alerts }: { readonly alerts: readonly Alert[] }) {
  if (alerts.length === 0) return <Explain title="None is kept." />
  return (
    <ul>
      {alerts.slice(0, 8).map(({ id, state, severity, explanation, opened_at: from, resolved_at: to }) => (
        <li class="entry" key={id}>
          <Mark level={state === 'firing' ? severityLevel(severity) : 'none'} />
          <span class="small">{explanationOf({ explanation })}</span>
          <span class="small soft">
            <Time at={from} />
            {to === null ? (
              ' until now'
            ) : (
              <>
                {' '}
                – <Time at={to} />
              </>
            )}
          </span>
        </li>
      ))}
    </ul>
  )
}

function ValueTable({ points }: { readonly points: readonly Point[] }) {
  return (
    <table class="plain small">
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col" class="num">
            Value
          </th>
          <th scope="col" class="num">
            Band
          </th>
          <th scope="col">State</th>
        </tr>
      </thead>
      <tbody>
        {points.map(({ timestamp, value, low, high, state }) => (
          <tr key={timestamp}>
            <td>{formatFull(timestamp)}</td>
            <td class="num">{formatValue(value)}</td>
            <td class="num">{low === null ? '–' : `${formatValue(low)} to ${formatValue(high)}`}</td>
            <td>{state ?? '–'}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

async function alertsOf(key: string, signal: AbortSignal): Promise<readonly Alert[]> {
  const pages = await Promise.all(
    (['firing', 'resolved'] as const).map(state => client.alerts({ state, prefix: key, limit: 50 }, { signal })),
  )
  return pages.flatMap(({ alerts }) => alerts).filter(alert => alert.key === key)
}

function curlOf(key: string, zoom: Zoom | undefined): string {
  const query = zoom === undefined ? { key } : { key, step: zoom.steps.at(-1) ?? '' }
  const url = `${location.origin}/${zoom === undefined ? 'history' : 'aggregates'}?${new URLSearchParams(query)}`
  // A single quote ends the quoted part of a shell command.
  return `curl -H "Authorization: Bearer $TIDEMARK_API_KEY" '${url.replaceAll("'", '%27')}'`
}

function download(key: string, csv: string): void {
  const link = document.createElement('a')
  const url = URL.createObjectURL(new Blob([csv], { type: 'text/csv' }))
  link.href = url
  link.download = `${key.replaceAll(/[^\p{L}\p{N}._-]+/gu, '_')}.csv`
  link.click()
  URL.revokeObjectURL(url)
}
