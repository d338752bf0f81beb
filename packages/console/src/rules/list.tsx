import { useSignal } from '@preact/signals'
import type { Feedbacks, Rule, RuleCounts, Rules, WrittenRule } from '@tidemark/client/types'
import { client, may } from '../api.ts'
import { formatPercent, plural } from '../format.ts'
import { ChangeDialog } from '../parts/dialog.tsx'
import { Explain } from '../parts/states.tsx'
import { Ago } from '../parts/time.tsx'
import { linkTo } from '../router.ts'
import { settingsOf } from './members.ts'

/** Fewer can be seen at once. */
const FILTER_FROM = 8

interface RuleListProps {
  readonly document: Rules
  readonly onChanged: () => void
}

interface Action {
  readonly kind: 'shadow' | 'delete'
  readonly rule: WrittenRule
}

export function RuleList({ document, onChanged }: RuleListProps) {
  const action = useSignal<Action | undefined>(undefined)
  const filter = useSignal('')
  const { rules } = document
  const wanted = filter.value.toLowerCase()
  const shown = rules
    .filter(({ rule: { id, pattern } }) => `${id}\n${pattern}`.toLowerCase().includes(wanted))
    .toSorted((a, b) => a.rule.id.localeCompare(b.rule.id))
  return (
    <>
      {rules.length >= FILTER_FROM && (
        <input
          type="search"
          aria-label="Search rules"
          placeholder="Search rules"
          value={filter.value}
          onInput={({ currentTarget }) => {
            filter.value = currentTarget.value
          }}
        />
      )}
      {rules.length === 0 && (
        <Explain title="No rules yet.">
          <span>The default policy applies to all keys. It suits most; a rule is for what it misses or overdoes.</span>
        </Explain>
      )}
      {shown.length === 0 && rules.length > 0 && <Explain title="No rule is called so, or has such a pattern." />}
      <ul>
        {shown.map(rule => (
          <RuleEntry
            key={rule.rule.id}
            rule={rule}
            onAction={kind => {
              action.value = { kind, rule: rule.rule }
            }}
          />
        ))}
        {wanted === '' && rules.length > 0 && (
          <li class="entry rule">
            <div class="body">
              <strong>All other keys</strong>
              <span class="small soft">The default policy.</span>
            </div>
            <Figures {...document.default} />
            <span />
          </li>
        )}
      </ul>
      {action.value !== undefined && (
        <ActionDialog
          action={action.value}
          version={document.version}
          onClose={() => {
            action.value = undefined
            onChanged()
          }}
        />
      )}
    </>
  )
}

interface RuleEntryProps {
  readonly rule: Rule
  readonly onAction: (kind: Action['kind']) => void
}

function RuleEntry({ rule: { rule, changed, counts, feedback }, onAction }: RuleEntryProps) {
  const isShadow = rule.shadow === true
  const settings = settingsOf(rule)
  return (
    <li class="entry rule">
      <div class="body">
        <div class="row">
          <a href={linkTo('rules', { edit: rule.id })}>
            <strong>{rule.id}</strong>
          </a>
          <code>{rule.pattern}</code>
          {isShadow && <span class="chip">shadow: has no effect</span>}
        </div>
        <div class="row small members">
          {settings.length === 0 && <span class="soft">the defaults</span>}
          {settings.map(({ path, value }) => (
            <span key={path}>
              <span class="soft">{path}</span> {value}
            </span>
          ))}
        </div>
        <span class="small soft">
          {changed.why} – {changed.who}, <Ago at={changed.at} />
        </span>
      </div>
      <Figures counts={counts} {...(feedback !== undefined && { feedback })} />
      <div class="row actions">
        <a class="button" href={linkTo('rules', { edit: rule.id })}>
          {may('operate') ? 'Edit' : 'Try changes'}
          <span class="unseen"> {rule.id}</span>
        </a>
        {may('operate') && (
          <>
            <button type="button" class="button" onClick={() => onAction('shadow')}>
              {isShadow ? 'Put in force' : 'Make a shadow'}
              <span class="unseen"> {rule.id}</span>
            </button>
            <button type="button" class="button" onClick={() => onAction('delete')}>
              Delete<span class="unseen"> {rule.id}</span>
            </button>
          </>
        )}
      </div>
    </li>
  )
}

interface FiguresProps {
  readonly counts: RuleCounts | null
  readonly feedback?: Feedbacks
}

function Figures({ counts, feedback }: FiguresProps) {
  return (
    <div class="small figures">
      {counts === null ? (
        <span class="soft">nothing scored yet</span>
      ) : (
        <>
          <span class="num">{plural(counts.opened, 'alert')}</span>
          <span class="soft num">
            {counts.judged === 0 ? 'nothing scored yet' : `${formatPercent(counts.flagged / counts.judged)} flagged`}
            {counts.judged > 0 &&
              counts.expected !== null &&
              `, ${formatPercent(counts.expected / counts.judged)} by chance`}
          </span>
        </>
      )}
      {feedback !== undefined && feedback.useful_share !== null && (
        <span class="soft num">
          {feedback.useful} of {feedback.useful + feedback.noise} useful
        </span>
      )}
    </div>
  )
}

interface ActionDialogProps {
  readonly action: Action
  readonly version: number
  readonly onClose: () => void
}

function ActionDialog({ action: { kind, rule }, version, onClose }: ActionDialogProps) {
  if (kind === 'delete') {
    return (
      <ChangeDialog
        title={`Delete ${rule.id}`}
        action="Delete"
        onConfirm={({ why = '', who }) =>
          client.deleteRule(rule.id, { why, ...(who !== undefined && { who }), version })
        }
        onClose={onClose}
      >
        <p class="small">
          Its keys are then scored by the next rule that matches, or by the default policy. Changes keep it, to restore
          it.
        </p>
      </ChangeDialog>
    )
  }
  const { shadow, ...inForce } = rule
  const isShadow = shadow === true
  return (
    <ChangeDialog
      title={isShadow ? `Put ${rule.id} in force` : `Make ${rule.id} a shadow rule`}
      action={isShadow ? 'Put in force' : 'Make a shadow'}
      onConfirm={({ why = '', who }) =>
        client.putRule(isShadow ? inForce : { ...inForce, shadow: true }, {
          why,
          ...(who !== undefined && { who }),
          version,
        })
      }
      onClose={onClose}
    >
      <p class="small">
        {isShadow
          ? 'It scores its keys from now on, and opens alerts.'
          : 'It goes on scoring its keys for comparison, without any effect. The next rule that matches is in force.'}
      </p>
    </ChangeDialog>
  )
}
