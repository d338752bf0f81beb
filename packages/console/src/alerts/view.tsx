import { useSignal } from '@preact/signals'
import type { Alert } from '@tidemark/client/types'
import { client, may } from '../api.ts'
import { useFeed } from '../feed.ts'
import { plural } from '../format.ts'
import { explanationOf } from '../parts/alert.ts'
import { ChangeDialog } from '../parts/dialog.tsx'
import { KeyLink } from '../parts/key-name.tsx'
import { Mark, severityLevel } from '../parts/sign.tsx'
import { Explain, Show } from '../parts/states.tsx'
import { Ago, Time } from '../parts/time.tsx'
import { useResource } from '../resource.ts'
import { linkTo, place, setParameter } from '../router.ts'

const AGAIN_MS = 3000
const SHOWN = 100

const TABS = [
  ['firing', 'Firing'],
  ['resolved', 'Resolved'],
] as const

const DURATIONS = ['30m', '2h', '8h', '1d', '7d'] as const

type Action = 'acknowledge' | 'snooze' | 'mute'

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
                    />
                  ))}
                </ul>
              )}
              {page.cursor !== null && <p class="small soft">The newest {page.alerts.length} are shown.</p>}
            </>
          )}
        </Show>
        {state === 'firing' && !may('operate') && (
          <p class="small soft">To acknowledge, snooze or mute, sign in with an API key that has the scope operate.</p>
        )}
      </section>
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
  if (state === 'firing') return <Explain title="No alert fires." />
  return (
    <Explain title="No alert was resolved yet.">
      <span>Alerts that end are kept here, the newest ones.</span>
    </Explain>
  )
}

interface AlertEntryProps {
  readonly alert: Alert
  readonly onChange: (action: Action) => void
}

function AlertEntry({ alert, onChange }: AlertEntryProps) {
  const { key, severity, state, opened_at: openedAt, resolved_at: resolvedAt } = alert
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
        </details>
      </div>
      {state === 'firing' && may('operate') ? (
        <div class="row">
          {alert.acknowledged === null && (
            <button type="button" class="button" onClick={() => onChange('acknowledge')}>
              Acknowledge<span class="unseen"> {name}</span>
            </button>
          )}
          <button type="button" class="button" onClick={() => onChange('snooze')}>
            Snooze<span class="unseen"> {name}</span>
          </button>
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

function Chips({ alert: { acknowledged, snoozed, suppressed_by: suppressedBy } }: { readonly alert: Alert }) {
  return (
    <>
      {acknowledged !== null && <span class="chip">acknowledged by {acknowledged.who}</span>}
      {snoozed !== null && snoozed.until > Date.now() && (
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
  const { opened_at, told, told_at, acknowledged, snoozed, resolved_at, resolve_reason, suppressed } = alert
  const moments: Moment[] = [{ at: opened_at, what: 'opened' }]
  if (told > 0) moments.push({ at: told_at, what: `notified, ${plural(told, 'time')} in all` })
  if (acknowledged !== null)
    moments.push({ at: acknowledged.at, what: `acknowledged by ${acknowledged.who}: ${acknowledged.why}` })
  if (snoozed !== null) moments.push({ at: snoozed.at, what: `snoozed by ${snoozed.who}: ${snoozed.why}` })
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

const TITLES: Readonly<Record<Action, string>> = { acknowledge: 'Acknowledge', snooze: 'Snooze', mute: 'Mute' }

function Dialog({ change: { action, alert }, onClose }: { readonly change: Change; readonly onClose: () => void }) {
  async function confirm({
    why = '',
    who,
    until = '',
    pattern = '',
  }: Readonly<Record<string, string>>): Promise<unknown> {
    const note = { why, ...(who !== undefined && { who }) }
    if (action === 'acknowledge') return await client.acknowledge(alert.id, note)
    if (action === 'snooze') return await client.snooze(alert.id, { ...note, until })
    return await client.mute(`console-${Date.now().toString(36)}`, { ...note, pattern, until })
  }
  return (
    <ChangeDialog
      title={`${TITLES[action]} ${alert.key ?? 'the whole fleet'}`}
      action={TITLES[action]}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p class="small soft">
        {action === 'acknowledge' && 'Others see that you work on it. It still fires, and is not notified again.'}
        {action === 'snooze' && 'It sends no notifications for this time. It is notified again if it still fires then.'}
        {action === 'mute' && 'Alerts of these keys still open and are listed, but send no notifications.'}
      </p>
      {action === 'mute' && (
        <label class="field">
          Keys (* stands for any text, ? for a character)
          <input name="pattern" required value={escapePattern(alert.key ?? '')} />
        </label>
      )}
      {action !== 'acknowledge' && (
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
      {action === 'mute' && (
        <p class="small">
          <a href={linkTo('alerts')}>Mutes end by themselves</a>; DELETE /mutes/ID ends one earlier.
        </p>
      )}
    </ChangeDialog>
  )
}

/** A key as a pattern that matches it alone. */
function escapePattern(key: string): string {
  return key.replaceAll(/[\\*?[\]{}]/g, '\\$&')
}
