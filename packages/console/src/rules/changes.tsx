import { useSignal } from '@preact/signals'
import type { RuleChange, Rules, WrittenRule } from '@tidemark/client/types'
import { client, may } from '../api.ts'
import { ChangeDialog } from '../parts/dialog.tsx'
import { Explain, Show } from '../parts/states.tsx'
import { Ago } from '../parts/time.tsx'
import { useResource } from '../resource.ts'
import { type Difference, differencesOf } from './members.ts'

const AGAIN_MS = 5000

/** More than a screen: older ones are looked for to show what a change replaced. */
const READ = 500
const SHOWN = 100

/** Who changed what and why, with what differs, and earlier versions to restore. */
export function Changes() {
  const history = useResource(
    async signal => {
      const [{ changes }, document] = await Promise.all([
        client.ruleChanges({ limit: READ }, { signal }),
        client.rules({ signal }),
      ])
      return { changes, document }
    },
    AGAIN_MS,
    [],
  )
  const restored = useSignal<WrittenRule | undefined>(undefined)
  return (
    <section class="panel" aria-label="Changes">
      <Show of={history}>
        {({ changes, document }) => (
          <>
            {changes.length === 0 && <Explain title="Nothing was changed yet." />}
            <ul>
              {changes.slice(0, SHOWN).map((change, i) => (
                <ChangeEntry
                  key={change.version}
                  change={change}
                  before={previousOf(change, changes.slice(i + 1))}
                  inForce={document}
                  onRestore={rule => {
                    restored.value = rule
                  }}
                />
              ))}
            </ul>
            {changes.length > SHOWN && <p class="small soft">The newest {SHOWN} are shown.</p>}
            {restored.value !== undefined && (
              <RestoreDialog
                rule={restored.value}
                version={document.version}
                onClose={() => {
                  restored.value = undefined
                  history.refresh()
                }}
              />
            )}
          </>
        )}
      </Show>
      {!may('operate') && (
        <p class="small soft">To restore an earlier version, sign in with an API key that has the scope operate.</p>
      )}
    </section>
  )
}

function kindOf({ kind }: RuleChange): string {
  return kind.replace(/_.*/, '')
}

/** What was there before a change; null for nothing, undefined if it is not known any more. */
function previousOf(change: RuleChange, older: readonly RuleChange[]): RuleChange['content'] | undefined {
  return older.find(one => one.id === change.id && kindOf(one) === kindOf(change))?.content
}

interface ChangeEntryProps {
  readonly change: RuleChange
  readonly before: RuleChange['content'] | undefined
  readonly inForce: Rules
  readonly onRestore: (rule: WrittenRule) => void
}

function ChangeEntry({ change, before, inForce, onRestore }: ChangeEntryProps) {
  const { kind, id, content, who, why, at, version } = change
  const current = inForce.rules.find(({ rule }) => rule.id === id)?.rule
  const isInForce = content !== null && current !== undefined && differencesOf(current, content).length === 0
  const canRestore = kind === 'rule_put' && content !== null && !isInForce && may('operate')
  return (
    <li class="entry">
      <span class="soft small num">{version}</span>
      <div class="body">
        <span>
          {who} {TEXTS[kind](before == null)} {id !== null && <strong>{id}</strong>}{' '}
          <span class="soft small">
            <Ago at={at} />
          </span>{' '}
          {kind === 'rule_put' && isInForce && <span class="chip">in force</span>}
        </span>
        <span class="small soft">{why}</span>
        <Differences differences={differencesOf(before ?? {}, content ?? before ?? {})} />
      </div>
      {canRestore ? (
        <button type="button" class="button" onClick={() => onRestore(content as WrittenRule)}>
          Restore
          <span class="unseen">
            {' '}
            version {version} of {id}
          </span>
        </button>
      ) : (
        <span />
      )}
    </li>
  )
}

const TEXTS: Readonly<Record<RuleChange['kind'], (isNew: boolean) => string>> = {
  rule_put: isNew => (isNew ? 'added the rule' : 'changed the rule'),
  rule_deleted: () => 'deleted the rule',
  mute_put: isNew => (isNew ? 'added the mute' : 'changed the mute'),
  mute_deleted: () => 'ended the mute',
  storm_put: () => 'set what counts as an alert storm',
}

export function Differences({ differences }: { readonly differences: readonly Difference[] }) {
  if (differences.length === 0) return null
  return (
    <ul class="small mono differences">
      {differences.map(({ path, before, after }) => (
        <li key={path}>
          <span class="soft">{path}</span>{' '}
          {before !== undefined && (
            <del>
              <span class="unseen">was </span>
              {before}
            </del>
          )}{' '}
          {after !== undefined && (
            <ins>
              <span class="unseen">is </span>
              {after}
            </ins>
          )}
        </li>
      ))}
    </ul>
  )
}

interface RestoreDialogProps {
  readonly rule: WrittenRule
  readonly version: number
  readonly onClose: () => void
}

function RestoreDialog({ rule, version, onClose }: RestoreDialogProps) {
  return (
    <ChangeDialog
      title={`Restore ${rule.id}`}
      action="Restore"
      onConfirm={({ why = '', who }) => client.putRule(rule, { why, ...(who !== undefined && { who }), version })}
      onClose={onClose}
    >
      <p class="small">This version of the rule replaces what is in force. The change is listed like any other.</p>
    </ChangeDialog>
  )
}
