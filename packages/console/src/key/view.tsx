import { useSignal } from '@preact/signals'
import type { FeedEvent } from '@tidemark/client/feed'
import type { Alert, Analysis, RuleExplanation } from '@tidemark/client/types'
import { client } from '../api.ts'
import { isLive, useFeed } from '../feed.ts'
import { formatCount, formatDuration, formatFull, formatValue } from '../format.ts'
import { explanationOf } from '../parts/alert.ts'
import { Copy } from '../parts/copy.tsx'
import { KeyName } from '../parts/key-name.tsx'
import { Mark, severityLevel, stateSign } from '../parts/sign.tsx'
import { Explain, FailureNote, Show } from '../parts/states.tsx'
import { Ago, Time } from '../parts/time.tsx'
import { useResource } from '../resource.ts'
import { linkTo, place } from '../router.ts'
import { ChartPanel, CLOCK_MS } from './chart-panel.tsx'
import { merge, type Point, pointOfAnalysis, pointsOfHistory, rateOf } from './points.ts'
import { sentenceOf } from './sentence.ts'
import { type LevelQuery, levelsFor, needsLevels, type Shown, shownOf } from './span.ts'

/** With the feed, a read only repairs what it missed. */
const AGAIN_MS = 700
const AGAIN_LIVE_MS = 15_000
const ALERTS_MS = 5000
const RULE_MS = 15_000

const ANOMALIES = 200

/** Of one state; keys that begin with this one are among them. */
const ALERTS = 500

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
  const analysis = useSignal<Analysis | undefined>(undefined)
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
  const shown = shownOf(place.value.parameters)
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
      <ChartPanel name={name} newest={newest} points={points.value} alerts={alerts.value.value ?? []} shown={shown} />
      <div class="columns">
        <section class="panel" aria-labelledby="facts">
          <header>
            <h2 id="facts">What is known</h2>
          </header>
          <dl class="facts">
            <dt>Last sample</dt>
            <dd>
              <Ago at={newest.analyzed_at} />
              <Dated analysis={newest} />
            </dd>
            <dt>Usual range</dt>
            <dd class="num">
              {newest.low === null ? 'not known yet' : `${formatValue(newest.low)} to ${formatValue(newest.high)}`}
            </dd>
            <dt>Samples</dt>
            <dd class="num">
              {formatCount(newest.count)} in all; the newest verdict is based on {formatCount(newest.window)} of them
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
        <Copy text={curlOf(name, shown)} what="command" />
        <Copy text={location.href} what="link" />
      </section>
    </>
  )
}

/** Says when a sample is from, where that is not when it arrived. */
function Dated({ analysis: { timestamp, analyzed_at: analyzedAt } }: { readonly analysis: Analysis }) {
  const ahead = timestamp - analyzedAt
  if (Math.abs(ahead) < CLOCK_MS) return null
  return (
    <span class="soft">
      , dated {formatFull(timestamp)}, {formatDuration(Math.abs(ahead))} {ahead > 0 ? 'ahead' : 'before it arrived'}
    </span>
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
  if (alerts.length === 0) return <Explain title="No alerts are kept." />
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

async function alertsOf(key: string, signal: AbortSignal): Promise<readonly Alert[]> {
  const pages = await Promise.all(
    (['firing', 'resolved'] as const).map(state => client.alerts({ state, prefix: key, limit: ALERTS }, { signal })),
  )
  return pages.flatMap(({ alerts }) => alerts).filter(alert => alert.key === key)
}

function curlOf(key: string, shown: Shown): string {
  const query = { key, ...(needsLevels(shown) && coarsestFor(shown)) }
  const url = `${location.origin}/${needsLevels(shown) ? 'aggregates' : 'history'}?${new URLSearchParams(query)}`
  // A single quote ends the quoted part of a shell command.
  return `curl -H "Authorization: Bearer $TIDEMARK_API_KEY" '${url.replaceAll("'", '%27')}'`
}

/** The one level that reaches as far back as what is shown. */
function coarsestFor({ span, range }: Shown): LevelQuery | undefined {
  const now = Date.now()
  const { queries } = levelsFor(range ?? { from: now - span.ms, to: now }, now, now)
  const { step = '' } = queries.at(-1) ?? {}
  // The newest part of the time moves on, and an interval does not.
  return range === undefined ? { step } : queries.at(-1)
}
