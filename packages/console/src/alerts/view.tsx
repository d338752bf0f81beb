import { useSignal } from '@preact/signals'
import type { Alert, Mute } from '@tidemark/client/types'
import { client, may, toFailure } from '../api.ts'
import { useFeed } from '../feed.ts'
import { plural } from '../format.ts'
import { explanationOf } from '../parts/alert.ts'
import { ChangeDialog } from '../parts/dialog.tsx'
import { KeyLink } from '../parts/key-name.tsx'
import { Mark, Sign, severityLevel } from '../parts/sign.tsx'
import { Explain, Show } from '../parts/states.tsx'
import { Ago, Time } from '../parts/time.tsx'
import { useResource } from '../resource.ts'
import { linkTo, place, setParameter } from '../router.ts'

const AGAIN_MS = 3000
const MUTES_MS = 5000
const SHOWN = 100

const TABS = [
  ['firing', 'Firing'],
  ['resolved', 'Resolved'],
] as const

const DURATIONS = ['30m', '2h', '8h', '1d', '7d'] as const

type Action = 'acknowledge' | 'snooze' | 'mute' | 'end_snooze'

interface Change {
  readonly action: Action
  readonly alert: Alert
}

export function AlertsView() {
  const { parameters } = place.value
  const state = parameters.get('state') === 'resolved' ? 'resolved' : 'firing'
  const prefix = parameters.get('prefix') ?? ''
  const group = parameters.get('group') ?? ''
  const change = useSignal<Change | undefined>(undefined)
  const query = { state, prefix, limit: SHOWN, ...(group !== '' && { group }) } as const
  const alerts = useResource(signal => client.alerts(query, { signal }), AGAIN_MS, [state, prefix, group])
  useFeed({ kind: 'alert' }, () => alerts.refresh(), [alerts])
  const counts = alerts.value.value?.counts
  return (
    <>
      <h1>Alerts</h1>
      <div class="row">
        <div class="row" role="group" aria-label="State">
          {TABS.map(([name, title]) => (
            <button
              key={name}
              type="button"
              class="button"
              aria-pressed={name === state}
              onClick={() => {
                // Only firing alerts are in groups.
                setParameter('group', '')
                setParameter('state', name)
              }}
            >
              {title} {counts != null && <span class="soft num">{counts[name]}</span>}
            </button>
          ))}
        </div>
        <input
          type="search"
          aria-label="Keys that begin with"
          placeholder="Keys that begin with"
          value={prefix}
          onChange={({ currentTarget }) => setParameter('prefix', currentTarget.value)}
        />
      </div>
      {group !== '' && (
        <p class="row">
          <span>Only the alerts of one group.</span>
          <button type="button" class="button" onClick={() => setParameter('group', '')}>
            Show all
          </button>
        </p>
      )}
      <section class="panel" aria-label={state === 'firing' ? 'Firing alerts' : 'Resolved alerts'}>
        <Show of={alerts}>
          {page => (
            <>
              {page.alerts.length === 0 ? (
                <Empty state={state} prefix={prefix} />
              ) : (
                <ul>
                  {page.alerts.map(alert => (
                    <AlertEntry
                      key={alert.id}
                      alert={alert}
                      onChange={action => {
                        change.value = { action, alert }
                      }}
                      onMarked={alerts.refresh}
                    />
                  ))}
                </ul>
              )}
              {page.cursor !== null && <p class="small soft">The newest {page.alerts.length} are shown.</p>}
            </>
          )}
        </Show>
        {!may('operate') && (
          <p class="small soft">
            To acknowledge, snooze, mute or mark alerts, sign in with an API key that has the scope operate.
          </p>
        )}
      </section>
      <Mutes />
      {change.value !== undefined && (
        <Dialog
          change={change.value}
          onClose={() => {
            change.value = undefined
            alerts.refresh()
          }}
        />
      )}
    </>
  )
}

function Empty({ state, prefix }: { readonly state: string; readonly prefix: string }) {
  if (prefix !== '') {
    return (
      <Explain title={`No alert of keys that begin with ${prefix}.`}>
        <button type="button" class="button" onClick={() => setParameter('prefix', '')}>
          Show all
        </button>
      </Explain>
    )
  }
  if (state === 'firing') return <Explain title="No alerts are firing." />
  return (
    <Explain title="No alert was resolved yet.">
      <span>Alerts that end are kept here, the newest ones.</span>
    </Explain>
  )
}

interface AlertEntryProps {
  readonly alert: Alert
  readonly onChange: (action: Action) => void
  readonly onMarked: () => void
}

function AlertEntry({ alert, onChange, onMarked }: AlertEntryProps) {
  const { key, severity, state, opened_at: openedAt, resolved_at: resolvedAt, rule } = alert
  const name = key ?? 'the whole fleet'
  return (
    <li class="entry">
      <Mark level={state === 'firing' ? severityLevel(severity) : 'none'} />
      <div class="body">
        <div class="row">
          {key === null ? <strong>{name}</strong> : <KeyLink name={key} />}
          <span class="chip">{severity}</span>
          <Chips alert={alert} />
        </div>
        <span class="small soft">{explanationOf(alert)}</span>
        <details>
          <summary class="small soft">
            {resolvedAt === null ? (
              <>
                since <Time at={openedAt} />
              </>
            ) : (
              <>
                <Time at={openedAt} /> – <Time at={resolvedAt} />
              </>
            )}
          </summary>
          <Timeline alert={alert} />
          {rule !== null && (
            <p class="small">
              Opened by the rule <a href={linkTo('rules', { edit: rule })}>{rule}</a>
            </p>
          )}
        </details>
        {may('operate') && <Marks alert={alert} name={name} onMarked={onMarked} />}
      </div>
      {state === 'firing' && may('operate') ? (
        <div class="row actions">
          {alert.acknowledged === null && (
            <button type="button" class="button" onClick={() => onChange('acknowledge')}>
              Acknowledge<span class="unseen"> {name}</span>
            </button>
          )}
          {isSnoozed(alert) ? (
            <button type="button" class="button" onClick={() => onChange('end_snooze')}>
              End the snooze<span class="unseen"> of {name}</span>
            </button>
          ) : (
            <button type="button" class="button" onClick={() => onChange('snooze')}>
              Snooze<span class="unseen"> {name}</span>
            </button>
          )}
          {key !== null && (
            <button type="button" class="button" onClick={() => onChange('mute')}>
              Mute<span class="unseen"> {name}</span>
            </button>
          )}
        </div>
      ) : (
        <span />
      )}
    </li>
  )
}

function isSnoozed({ snoozed }: Alert): boolean {
  return snoozed !== null && snoozed.until > Date.now()
}

interface MarksProps {
  readonly alert: Alert
  readonly name: string
  readonly onMarked: () => void
}

const MARKS = [
  [true, 'Useful'],
  [false, 'Noise'],
] as const

/** What the operator makes of an alert; pressing the same again removes it. */
function Marks({ alert: { id, feedback }, name, onMarked }: MarksProps) {
  const failure = useSignal('')
  async function mark(useful: boolean | null): Promise<void> {
    failure.value = ''
    try {
      await client.markAlert(id, useful)
      onMarked()
    } catch (error) {
      const { problem, message } = toFailure(error)
      failure.value = problem?.detail ?? message
    }
  }
  return (
    <div class="row small" role="group" aria-label={`Was the alert of ${name} useful?`}>
      <span class="soft">Was it useful?</span>
      {MARKS.map(([useful, title]) => (
        <button
          key={title}
          type="button"
          class="button slim"
          aria-pressed={feedback?.useful === useful}
          onClick={() => void mark(feedback?.useful === useful ? null : useful)}
        >
          {title}
          <span class="unseen"> {name}</span>
        </button>
      ))}
      {feedback?.who != null && <span class="soft">marked by {feedback.who}</span>}
      <span role="alert" class="bad">
        {failure}
      </span>
    </div>
  )
}

/** Mutes of keys by pattern: what suppresses notifications, until when, and how to end it. */
function Mutes() {
  const rules = useResource(signal => client.rules({ signal }), MUTES_MS, [])
  const ended = useSignal<Mute | undefined>(undefined)
  const mutes = (rules.value.value?.mutes ?? []).filter(({ until }) => Date.parse(until) > Date.now())
  if (mutes.length === 0) return null
  return (
    <section class="panel" aria-labelledby="mutes">
      <header>
        <h2 id="mutes">Muted keys</h2>
        <span class="small soft">Their alerts open and are listed, but send no notifications.</span>
      </header>
      <ul>
        {mutes.map(mute => (
          <li key={mute.id} class="entry">
            <Sign level="none">muted</Sign>
            <div class="body">
              <code>{mute.pattern}</code>
              <span class="small soft">
                until <Time at={Date.parse(mute.until)} />, by {mute.who}: {mute.why}
              </span>
            </div>
            {may('operate') ? (
              <button
                type="button"
                class="button"
                onClick={() => {
                  ended.value = mute
                }}
              >
                End<span class="unseen"> the mute of {mute.pattern}</span>
              </button>
            ) : (
              <span />
            )}
          </li>
        ))}
      </ul>
      {ended.value !== undefined && (
        <EndMuteDialog
          mute={ended.value}
          onClose={() => {
            ended.value = undefined
            rules.refresh()
          }}
        />
      )}
    </section>
  )
}

function EndMuteDialog({ mute: { id, pattern }, onClose }: { readonly mute: Mute; readonly onClose: () => void }) {
  return (
    <ChangeDialog
      title={`End the mute of ${pattern}`}
      action="End"
      onConfirm={({ why = '', who }) => client.endMute(id, { why, ...(who !== undefined && { who }) })}
      onClose={onClose}
    >
      <p class="small soft">Alerts of these keys that still fire are notified now.</p>
    </ChangeDialog>
  )
}

function Chips({ alert }: { readonly alert: Alert }) {
  const { acknowledged, snoozed, suppressed_by: suppressedBy } = alert
  return (
    <>
      {acknowledged !== null && <span class="chip">acknowledged by {acknowledged.who}</span>}
      {snoozed !== null && isSnoozed(alert) && (
        <span class="chip">
          snoozed until <Time at={snoozed.until} />
        </span>
      )}
      {suppressedBy !== null && <span class="chip">notifications suppressed: {suppressedBy}</span>}
    </>
  )
}

interface Moment {
  readonly at: number
  readonly what: string
}

/** What happened to an alert, in order. */
function Timeline({ alert }: { readonly alert: Alert }) {
  const { opened_at, told, told_at, acknowledged, snoozed, resolved_at, resolve_reason, suppressed, feedback } = alert
  const moments: Moment[] = [{ at: opened_at, what: 'opened' }]
  if (told > 0) moments.push({ at: told_at, what: `notified, ${plural(told, 'time')} in all` })
  if (acknowledged !== null)
    moments.push({ at: acknowledged.at, what: `acknowledged by ${acknowledged.who}: ${acknowledged.why}` })
  if (snoozed !== null) {
    const what = snoozed.until > snoozed.at ? 'snoozed' : 'snooze ended'
    moments.push({ at: snoozed.at, what: `${what} by ${snoozed.who}: ${snoozed.why}` })
  }
  if (feedback !== undefined) {
    const by = [feedback.who === null ? '' : ` by ${feedback.who}`, feedback.why === null ? '' : `: ${feedback.why}`]
    moments.push({ at: feedback.at, what: `marked as ${feedback.useful ? 'useful' : 'noise'}${by.join('')}` })
  }
  if (resolved_at !== null)
    moments.push({ at: resolved_at, what: `resolved (${resolve_reason?.replaceAll('_', ' ')})` })
  const held = Object.entries(suppressed).filter(([, count]) => count > 0)
  return (
    <ol class="small">
      {moments
        .sort((a, b) => a.at - b.at)
        .map(({ at, what }) => (
          <li key={what}>
            <Time at={at} /> {what}{' '}
            <span class="soft">
              (<Ago at={at} />)
            </span>
          </li>
        ))}
      {held.map(([by, count]) => (
        <li key={by} class="soft">
          {plural(count, 'notification')} suppressed by {by === 'storm' ? 'an alert storm' : `a ${by}`}
        </li>
      ))}
    </ol>
  )
}

const TITLES: Readonly<Record<Action, string>> = {
  acknowledge: 'Acknowledge',
  snooze: 'Snooze',
  mute: 'Mute',
  end_snooze: 'End the snooze',
}

function Dialog({ change: { action, alert }, onClose }: { readonly change: Change; readonly onClose: () => void }) {
  async function confirm({
    why = '',
    who,
    until = '',
    pattern = '',
  }: Readonly<Record<string, string>>): Promise<unknown> {
    const note = { why, ...(who !== undefined && { who }) }
    if (action === 'acknowledge') return await client.acknowledge(alert.id, note)
    if (action === 'end_snooze') return await client.endSnooze(alert.id, note)
    if (action === 'snooze') return await client.snooze(alert.id, { ...note, until })
    return await client.mute(`console-${Date.now().toString(36)}`, { ...note, pattern, until })
  }
  return (
    <ChangeDialog
      title={`${TITLES[action]}${action === 'end_snooze' ? ' of' : ''} ${alert.key ?? 'the whole fleet'}`}
      action={TITLES[action]}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p class="small soft">
        {action === 'acknowledge' && 'Others see that you work on it. It still fires, and is not notified again.'}
        {action === 'snooze' && 'It sends no notifications for this time. It is notified again if it still fires then.'}
        {action === 'end_snooze' && 'It is notified now if it still fires.'}
        {action === 'mute' && 'Alerts of these keys still open and are listed, but send no notifications.'}
      </p>
      {action === 'mute' && (
        <label class="field">
          Keys (* stands for any text, ? for a character)
          <input name="pattern" required value={escapePattern(alert.key ?? '')} />
        </label>
      )}
      {(action === 'snooze' || action === 'mute') && (
        <label class="field">
          For
          <select name="until">
            {DURATIONS.map(duration => (
              <option key={duration} value={duration}>
                {duration}
              </option>
            ))}
          </select>
        </label>
      )}
      {action === 'mute' && <p class="small soft">It ends by itself, or earlier below the list of alerts.</p>}
    </ChangeDialog>
  )
}

/** A key as a pattern that matches it alone. */
function escapePattern(key: string): string {
  return key.replaceAll(/[\\*?[\]{}]/g, '\\$&')
}
