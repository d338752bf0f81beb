import { useSignal } from '@preact/signals'
import type { TidemarkError } from '@tidemark/client/error'
import type { RulePreview, Tested, TestedKey } from '@tidemark/client/types'
import { formatCount, formatPercent, formatValue, plural } from '../format.ts'
import { KeyName } from '../parts/key-name.tsx'
import { Explain, FailureNote } from '../parts/states.tsx'
import { Time } from '../parts/time.tsx'
import { PreviewChart } from './chart.tsx'
import type { RuleDraft } from './fields.ts'
import { usePreview } from './use-preview.ts'

interface ComparisonProps {
  readonly rule: RuleDraft
  readonly preview: RulePreview | undefined
  readonly failure: TidemarkError | undefined
  readonly isBusy: boolean
  readonly isValid: boolean
  readonly isNew: boolean
}

/** What the rule would have flagged, beside the rules in force. */
export function Comparison({ rule, preview, failure, isBusy, isValid, isNew }: ComparisonProps) {
  const chosen = useSignal<string | undefined>(undefined)
  if (preview === undefined) {
    if (failure !== undefined) return <FailureNote failure={failure} />
    if (!isValid) return <Explain title="The rule is not valid yet." />
    return (
      <Explain title={isBusy ? 'Scoring what is kept …' : 'Say which keys it is for.'}>
        {!isBusy && (
          <span>Then its verdicts on their newest samples appear here, beside those of the rules in force.</span>
        )}
      </Explain>
    )
  }
  const { history, keys, in_force: before, preview: after } = preview
  if (keys.length === 0) {
    return (
      <Explain title="No kept sample is of these keys.">
        <span>Nothing can be said of the rule before its keys send some.</span>
      </Explain>
    )
  }
  const shown = keys.find(({ key }) => key === chosen.value) ?? keys[0]
  return (
    <div class="stack" aria-busy={isBusy}>
      <p role="status">
        <strong>{summaryOf(before, after)}</strong>
      </p>
      <Totals before={before} after={after} isNew={isNew} />
      <p class="small soft">
        {plural(history.samples, 'sample')} of {plural(history.keys, 'key')}
        {history.keys_found > history.keys && ` of the ${formatCount(history.keys_found)} that it concerns`}
        {history.from !== null && history.to !== null && (
          <>
            , <Time at={history.from} /> – <Time at={history.to} />
          </>
        )}
        {history.cut && '; older samples are kept and were not looked at'}. Both begin without memory: the first samples
        only teach.
      </p>
      {shown !== undefined && <OneKey key={shown.key} rule={rule} shown={shown} />}
      <KeyTable
        keys={keys}
        shown={shown?.key}
        onChoose={key => {
          chosen.value = key
        }}
      />
    </div>
  )
}

function summaryOf(before: Tested, after: Tested): string {
  if (before.opened === after.opened && before.flagged === after.flagged) {
    return `The same as now: ${plural(after.opened, 'alert')}, ${plural(after.flagged, 'sample')} flagged.`
  }
  if (before.opened === after.opened) {
    return `${plural(after.opened, 'alert')} as now, and ${plural(after.flagged, 'sample')} flagged instead of ${formatCount(before.flagged)}.`
  }
  return `${plural(after.opened, 'alert')} instead of ${formatCount(before.opened)}.`
}

interface TotalsProps {
  readonly before: Tested
  readonly after: Tested
  readonly isNew: boolean
}

function Totals({ before, after, isNew }: TotalsProps) {
  const share = ({ flagged, scored }: Tested): string => (scored === 0 ? '' : ` (${formatPercent(flagged / scored)})`)
  return (
    <table class="plain small">
      <thead>
        <tr>
          <td />
          <th scope="col" class="num">
            Now
          </th>
          <th scope="col" class="num">
            {isNew ? 'With this rule' : 'With the change'}
          </th>
        </tr>
      </thead>
      <tbody>
        <tr>
          <th scope="row">Alerts</th>
          <td class="num">{formatCount(before.opened)}</td>
          <td class="num">
            <strong>{formatCount(after.opened)}</strong>
          </td>
        </tr>
        <tr>
          <th scope="row">Samples flagged</th>
          <td class="num">
            {formatCount(before.flagged)}
            {share(before)}
          </td>
          <td class="num">
            <strong>{formatCount(after.flagged)}</strong>
            {share(after)}
          </td>
        </tr>
      </tbody>
    </table>
  )
}

type PreviewedKey = RulePreview['keys'][number]

/** The samples of one key with both verdicts. */
function OneKey({ rule, shown }: { readonly rule: RuleDraft; readonly shown: PreviewedKey }) {
  const { preview } = usePreview({ rule, key: shown.key })
  const series = preview.value?.series
  return (
    <figure class="stack">
      <figcaption class="row">
        <strong>
          <KeyName name={shown.key} />
        </strong>
        {shown.preview.rule !== (rule.id ?? 'preview') && (
          <span class="chip">
            {shown.preview.rule === null ? 'then under the default policy' : `${shown.preview.rule} is in force for it`}
          </span>
        )}
      </figcaption>
      {series == null ? <div class="preview-chart" /> : <PreviewChart name={shown.key} series={series} />}
      <AlertTimes tested={shown.preview} />
    </figure>
  )
}

function AlertTimes({ tested: { alerts, opened } }: { readonly tested: TestedKey }) {
  if (alerts.length === 0) return null
  return (
    <details class="small">
      <summary class="soft">
        {opened > alerts.length ? `The newest of ${opened} alerts` : plural(opened, 'alert')}
      </summary>
      <ul>
        {alerts.toReversed().map(({ kind, opened_at: openedAt, resolved_at: resolvedAt, value }) => (
          <li key={openedAt}>
            <Time at={openedAt} /> {kind === 'silent' ? 'silent' : formatValue(value)}
            <span class="soft">
              {resolvedAt === null ? (
                ', still firing'
              ) : (
                <>
                  , until <Time at={resolvedAt} />
                </>
              )}
            </span>
          </li>
        ))}
      </ul>
    </details>
  )
}

interface KeyTableProps {
  readonly keys: readonly PreviewedKey[]
  readonly shown: string | undefined
  readonly onChoose: (key: string) => void
}

function KeyTable({ keys, shown, onChoose }: KeyTableProps) {
  const interesting = keys.filter(key => differs(key) || key.preview.opened > 0 || key.key === shown)
  const others = keys.length - interesting.length
  if (keys.length < 2) return null
  return (
    <>
      <table class="plain small">
        <caption class="unseen">Keys, those that differ most first</caption>
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col" class="num">
              Alerts
            </th>
            <th scope="col" class="num">
              Flagged
            </th>
            <th scope="col" class="num wide">
              Samples
            </th>
          </tr>
        </thead>
        <tbody>
          {interesting.map(({ key, samples, in_force: before, preview: after }) => (
            <tr key={key}>
              <td>
                <button type="button" class="link" aria-pressed={key === shown} onClick={() => onChoose(key)}>
                  <KeyName name={key} />
                </button>
              </td>
              <td class="num">
                <Changed before={before.opened} after={after.opened} />
              </td>
              <td class="num">
                <Changed before={before.flagged} after={after.flagged} />
              </td>
              <td class="num soft wide">{formatCount(samples)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {others > 0 && <p class="small soft">{plural(others, 'more key')} the same as now, without an alert.</p>}
    </>
  )
}

function differs({ in_force: before, preview: after }: PreviewedKey): boolean {
  return before.opened !== after.opened || before.flagged !== after.flagged || before.rule !== after.rule
}

function Changed({ before, after }: { readonly before: number; readonly after: number }) {
  if (before === after) return <>{formatCount(after)}</>
  return (
    <>
      <span class="soft">{formatCount(before)} → </span>
      <strong>{formatCount(after)}</strong>
    </>
  )
}
