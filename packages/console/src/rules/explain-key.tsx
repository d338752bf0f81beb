import type { RuleExplanation } from '@tidemark/client/types'
import { client, may } from '../api.ts'
import { formatValue } from '../format.ts'
import { KeyLink } from '../parts/key-name.tsx'
import { Show } from '../parts/states.tsx'
import { Time } from '../parts/time.tsx'
import { useResource } from '../resource.ts'
import { linkTo, place, setParameter } from '../router.ts'

const AGAIN_MS = 5000

/** Which rule applies to a key, and why. */
export function ExplainKey() {
  const key = place.value.parameters.get('key') ?? ''
  return (
    <section class="panel stack" aria-labelledby="explain">
      <h2 id="explain">Which rule applies to a key?</h2>
      <input
        type="search"
        aria-label="Key"
        placeholder="edge-17/cpu"
        value={key}
        onChange={({ currentTarget }) => setParameter('key', currentTarget.value)}
      />
      {key !== '' && <Explained key={key} name={key} />}
    </section>
  )
}

function Explained({ name }: { readonly name: string }) {
  const explanation = useResource(signal => client.explainRules(name, { signal }), AGAIN_MS, [name])
  return <Show of={explanation}>{found => <Explanation of={found} />}</Show>
}

function Explanation({
  of: { key, rule, reason, shadow, others, muted, policy, hint },
}: {
  readonly of: RuleExplanation
}) {
  const { detector, threshold, budget, window, direction } = policy
  return (
    <div class="stack small" role="status">
      <p>
        <KeyLink name={key} />: {rule === null ? <strong>the default policy</strong> : <RuleLink id={rule} />}, because{' '}
        {reason}. It scores by {detector},{' '}
        {budget === null ? `threshold ${formatValue(threshold)}` : `budget ${budget}`}, window {window}
        {direction !== 'both' && `, only values that are too ${direction === 'up' ? 'high' : 'low'}`}.
      </p>
      {shadow !== null && (
        <p>
          <RuleLink id={shadow} /> is evaluated beside it, as a shadow rule.
        </p>
      )}
      {others.length > 0 && (
        <p class="soft">
          Less specific:{' '}
          {others.map(({ rule: other, pattern }, i) => (
            <span key={`${other} ${pattern}`}>
              {i > 0 && ', '}
              <RuleLink id={other} /> <code>{pattern}</code>
            </span>
          ))}
        </p>
      )}
      {muted !== null && (
        <p>
          Muted by {muted.who} until <Time at={muted.until} />: {muted.why}
        </p>
      )}
      {hint !== null && (
        <p>
          It looks like a counter: {hint.reason}.{' '}
          <a href={linkTo('rules', { new: JSON.stringify(hint.rule) })}>
            {may('operate') ? 'Make a rule that scores its rate' : 'Try a rule that scores its rate'}
          </a>
        </p>
      )}
    </div>
  )
}

function RuleLink({ id }: { readonly id: string }) {
  return <a href={linkTo('rules', { edit: id })}>{id}</a>
}
