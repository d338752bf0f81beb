import { client, may } from '../api.ts'
import { Show } from '../parts/states.tsx'
import { useResource } from '../resource.ts'
import { linkTo, place } from '../router.ts'
import { Changes } from './changes.tsx'
import { RuleEditor } from './editor.tsx'
import { ExplainKey } from './explain-key.tsx'
import type { RuleDraft } from './fields.ts'
import { RuleList } from './list.tsx'

const AGAIN_MS = 5000

export function RulesView() {
  const { parameters } = place.value
  const edited = parameters.get('edit')
  const draft = parameters.get('new')
  if (edited !== null || draft !== null) {
    return <RuleEditor key={`${edited} ${draft}`} id={edited ?? undefined} draft={readDraft(draft)} />
  }
  return parameters.get('tab') === 'changes' ? <History /> : <InForce />
}

function Head({ tab }: { readonly tab: 'rules' | 'changes' }) {
  return (
    <>
      <h1>Rules</h1>
      <div class="row">
        <nav class="row" aria-label="Parts of the rules">
          <a class="button" href={linkTo('rules')} aria-current={tab === 'rules' ? 'page' : undefined}>
            Rules
          </a>
          <a
            class="button"
            href={linkTo('rules', { tab: 'changes' })}
            aria-current={tab === 'changes' ? 'page' : undefined}
          >
            Changes
          </a>
        </nav>
        {may('operate') ? (
          <a class="button main" href={linkTo('rules', { new: '{}' })}>
            New rule
          </a>
        ) : (
          <a class="button" href={linkTo('rules', { new: '{}' })}>
            Try a rule
          </a>
        )}
      </div>
    </>
  )
}

function InForce() {
  const rules = useResource(signal => client.rules({ signal }), AGAIN_MS, [])
  return (
    <>
      <Head tab="rules" />
      <ExplainKey />
      <section class="panel" aria-labelledby="rules">
        <header>
          <h2 id="rules">The most specific rule that matches a key applies to it</h2>
        </header>
        <Show of={rules}>{document => <RuleList document={document} onChanged={rules.refresh} />}</Show>
        {!may('operate') && (
          <p class="small soft">To change rules, sign in with an API key that has the scope operate.</p>
        )}
      </section>
    </>
  )
}

function History() {
  return (
    <>
      <Head tab="changes" />
      <Changes />
    </>
  )
}

/** A link can carry a rule to begin with. */
function readDraft(text: string | null): RuleDraft {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as RuleDraft) : {}
  } catch {
    return {}
  }
}
