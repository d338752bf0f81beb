import type { TidemarkError } from '@tidemark/client/error'
import type { ComponentChildren } from 'preact'
import type { Resource } from '../resource.ts'

/** Why something is not shown, and what to do. */
export function Explain({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="state">
      <strong>{title}</strong>
      {children}
    </div>
  )
}

function describe(failure: TidemarkError): readonly [title: string, detail: string] {
  // Some details are sentences, and others their beginning.
  const detail = (failure.problem?.detail ?? failure.message).replace(/\.?$/, '.')
  if (failure.status === 0) return ['The gateway does not respond.', 'This page tries again by itself.']
  if (failure.status === 429 || failure.kind === 'overloaded')
    return ['The gateway is busy.', `${detail} This page tries again by itself.`]
  if (failure.status === 503)
    return ['The gateway cannot read its store.', `${detail} This page tries again by itself.`]
  if (failure.status === 403)
    return ['Your API key may not see this.', `${detail} Sign in with one that has the scope read.`]
  if (failure.status === 404) return ['There is nothing here.', detail]
  return ['This cannot be shown.', detail]
}

export function FailureNote({ failure }: { readonly failure: TidemarkError }) {
  const [title, detail] = describe(failure)
  return (
    <Explain title={title}>
      <span>{detail}</span>
    </Explain>
  )
}

interface ShowProps<T> {
  readonly of: Resource<T>
  readonly children: (value: T) => ComponentChildren
}

/** Shows what was read: that it is being read, why it could not be, or the value. */
export function Show<T>({ of, children }: ShowProps<T>): ComponentChildren {
  const value = of.value.value
  const failure = of.failure.value
  if (value !== undefined) {
    // What was read before stays while the gateway is unreachable; the notice on top says so.
    const isOver = failure !== undefined && !failure.isTemporary
    return isOver ? <FailureNote failure={failure} /> : children(value)
  }
  if (failure !== undefined) return <FailureNote failure={failure} />
  return (
    <div class="state" role="status">
      Loading …
    </div>
  )
}
