import { type Signal, useSignal } from '@preact/signals'
import type { RulePreview, Rules, WrittenRule } from '@tidemark/client/types'
import { useMemo } from 'preact/hooks'
import { client, may } from '../api.ts'
import { Copy } from '../parts/copy.tsx'
import { ChangeDialog } from '../parts/dialog.tsx'
import { Explain, Show } from '../parts/states.tsx'
import { useResource } from '../resource.ts'
import { linkTo } from '../router.ts'
import { Differences } from './changes.tsx'
import {
  type Field,
  fieldText,
  GROUPS,
  KEYS_FIELDS,
  memberAt,
  type RuleDraft,
  readField,
  withMember,
} from './fields.ts'
import { differencesOf } from './members.ts'
import { Comparison } from './preview.tsx'
import { type FieldErrors, usePreview } from './use-preview.ts'

/** The rules are read once: what others change meanwhile is found when the rule is saved. */
const ONCE_MS = 2 ** 31 - 1

interface RuleEditorProps {
  /** Of the rule to change; undefined for a new one. */
  readonly id: string | undefined
  /** What a new rule begins with. */
  readonly draft: RuleDraft
}

export function RuleEditor({ id, draft }: RuleEditorProps) {
  const rules = useResource(signal => client.rules({ signal }), ONCE_MS, [])
  return (
    <>
      <p class="small">
        <a href={linkTo('rules')}>Rules</a>
      </p>
      <h1>{id ?? 'New rule'}</h1>
      <Show of={rules}>
        {document => {
          const inForce = document.rules.find(({ rule }) => rule.id === (id ?? draft.id))?.rule
          if (id !== undefined && inForce === undefined) {
            return (
              <section class="panel">
                <Explain title={`There is no rule ${id}.`}>
                  <a href={linkTo('rules', { tab: 'changes' })}>Changes has deleted rules.</a>
                </Explain>
              </section>
            )
          }
          return <Editor inForce={inForce} first={id === undefined ? draft : (inForce ?? draft)} document={document} />
        }}
      </Show>
    </>
  )
}

/** What is edited, and what it was compared with when that began. */
interface EditorProps {
  readonly inForce: WrittenRule | undefined
  readonly first: RuleDraft
  readonly document: Rules
}

function Editor(props: EditorProps) {
  // Rules that others put since must not look like those that were edited.
  const { inForce, first, document } = useMemo(() => props, [])
  const rule = useSignal(first)
  const prefix = useSignal('')
  const isSaving = useSignal(false)
  const hasPattern = memberAt(rule.value, 'pattern') !== undefined
  const query = hasPattern ? { rule: rule.value, prefix: prefix.value } : undefined
  const { preview, errors, failure, isBusy } = usePreview(query)
  const differences = differencesOf(inForce ?? {}, rule.value)
  const isValid = errors.value.size === 0
  return (
    <div class="columns editor">
      <form
        class="panel stack"
        aria-label="The rule"
        onSubmit={event => {
          event.preventDefault()
          if (isValid) isSaving.value = true
        }}
      >
        <Fields fields={KEYS_FIELDS} rule={rule} errors={errors.value} isNew={inForce === undefined} />
        {GROUPS.map(({ title, fields }, i) => (
          <details key={title} open={i === 0 || fields.some(({ path }) => memberAt(first, path) !== undefined)}>
            <summary>
              <h2>{title}</h2>
            </summary>
            <Fields fields={fields} rule={rule} errors={errors.value} preview={preview.value} />
          </details>
        ))}
        <label class="line">
          <input
            type="checkbox"
            checked={rule.value.shadow === true}
            onChange={({ currentTarget }) => {
              rule.value = withMember(rule.value, 'shadow', currentTarget.checked ? true : undefined)
            }}
          />
          Shadow rule: it is only evaluated beside the rule in force
        </label>
        <OtherErrors errors={errors.value} />
        <div class="row">
          {may('operate') ? (
            <button type="submit" class="button main" disabled={!isValid || differences.length === 0}>
              Save …
            </button>
          ) : (
            <span class="small soft">To save it, sign in with an API key that has the scope operate.</span>
          )}
          <span class="small soft" role="status">
            {isValid ? (differences.length === 0 ? 'Nothing is changed yet.' : '') : 'It cannot be saved yet.'}
          </span>
        </div>
        <details>
          <summary class="small soft">The same as a command</summary>
          <Copy what="command" text={commandOf(rule.value)} />
        </details>
      </form>
      <section class="panel stack" aria-labelledby="comparison">
        <header>
          <h2 id="comparison">What it would have done</h2>
        </header>
        <input
          type="search"
          aria-label="Only keys that begin with"
          placeholder="Only keys that begin with"
          value={prefix.value}
          onChange={({ currentTarget }) => {
            prefix.value = currentTarget.value
          }}
        />
        <Comparison
          rule={rule.value}
          preview={preview.value}
          failure={failure.value}
          isBusy={isBusy.value}
          isValid={isValid}
          isNew={inForce === undefined}
        />
      </section>
      {isSaving.value && (
        <ChangeDialog
          title={inForce === undefined ? `Add ${fieldText(rule.value.id)}` : `Change ${inForce.id}`}
          action="Save"
          onConfirm={async ({ why = '', who }) => {
            const note = { why, ...(who !== undefined && { who }), version: document.version }
            await client.putRule(rule.value as WrittenRule, note)
            location.hash = linkTo('rules')
          }}
          onClose={() => {
            isSaving.value = false
          }}
        >
          <Differences differences={differences} />
          <p class="small soft">
            {rule.value.shadow === true ? 'It is a shadow rule: it has no effect. ' : ''}
            It applies within two seconds.
          </p>
        </ChangeDialog>
      )}
    </div>
  )
}

interface FieldsProps {
  readonly fields: readonly Field[]
  readonly rule: Signal<RuleDraft>
  readonly errors: FieldErrors
  readonly preview?: RulePreview | undefined
  readonly isNew?: boolean
}

function Fields({ fields, rule, errors, preview, isNew = true }: FieldsProps) {
  return (
    <div class="fields">
      {fields.map(field => (
        <RuleField
          key={field.path}
          field={field}
          rule={rule}
          error={errors.get(field.path) ?? [...errors].find(([path]) => path.startsWith(`${field.path}.`))?.[1]}
          fallback={preview === undefined ? '' : fieldText(memberAt(preview.policy, field.path))}
          isFixed={field.path === 'id' && !isNew}
        />
      ))}
    </div>
  )
}

interface RuleFieldProps {
  readonly field: Field
  readonly rule: Signal<RuleDraft>
  readonly error: string | undefined
  /** What is in force if the field is empty. */
  readonly fallback: string
  readonly isFixed: boolean
}

function RuleField({ field: { path, label, kind, hint }, rule, error, fallback, isFixed }: RuleFieldProps) {
  const id = `rule-${path}`
  const value = memberAt(rule.value, path)
  const set = (next: unknown): void => {
    rule.value = withMember(rule.value, path, next)
  }
  const described = {
    id,
    'aria-invalid': error === undefined ? undefined : true,
    'aria-describedby': error === undefined && hint === undefined ? undefined : `${id}-note`,
  } as const
  const note = (error ?? hint) !== undefined && (
    <span id={`${id}-note`} class={error === undefined ? 'small soft' : 'small bad'}>
      {error ?? hint}
    </span>
  )
  if (kind === 'flag') {
    return (
      <div class="field">
        <label class="line">
          <input
            {...described}
            type="checkbox"
            checked={value === true}
            onChange={({ currentTarget }) => set(currentTarget.checked ? true : undefined)}
          />
          {label}
        </label>
        {note}
      </div>
    )
  }
  const isRequired = path === 'id' || path === 'pattern'
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {typeof kind === 'string' ? (
        <input
          {...described}
          defaultValue={fieldText(value)}
          placeholder={fallback}
          readOnly={isFixed}
          required={isRequired}
          autocomplete="off"
          spellcheck={false}
          inputMode={kind === 'number' ? 'decimal' : undefined}
          onInput={({ currentTarget }) => set(readField(kind, currentTarget.value))}
        />
      ) : (
        <select
          {...described}
          value={fieldText(value)}
          onChange={({ currentTarget }) => set(readField('text', currentTarget.value))}
        >
          <option value="">{value === undefined && fallback !== '' ? `default: ${fallback}` : 'default'}</option>
          {[...new Set([...kind, ...(value === undefined ? [] : [fieldText(value)])])].map(option => (
            <option key={option} value={option}>
              {option}
            </option>
          ))}
        </select>
      )}
      {note}
    </div>
  )
}

const PATHS: readonly string[] = [...KEYS_FIELDS, ...GROUPS.flatMap(({ fields }) => fields)].map(({ path }) => path)

/** What is wrong with members that have no field, such as those of a newer version. */
function OtherErrors({ errors }: { readonly errors: FieldErrors }) {
  const others = [...errors].filter(([path]) => !PATHS.some(known => path === known || path.startsWith(`${known}.`)))
  return (
    <div role="alert" class="bad small">
      {others.map(([path, detail]) => (
        <p key={path}>
          {path} {detail}
        </p>
      ))}
    </div>
  )
}

function commandOf({ id, ...rule }: RuleDraft): string {
  const body = JSON.stringify({ rule, why: '…' })
  return `curl -XPUT '${location.origin}/rules/${encodeURIComponent(fieldText(id))}' --json '${body.replaceAll("'", "'\\''")}'`
}
