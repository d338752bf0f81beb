import type { KeysQuery } from '@tidemark/client/client'
import { useEffect, useRef } from 'preact/hooks'
import { client } from '../api.ts'
import { plural } from '../format.ts'
import { Explain, FailureNote } from '../parts/states.tsx'
import { Ago } from '../parts/time.tsx'
import { useResource } from '../resource.ts'
import { linkTo, place, setParameter } from '../router.ts'
import { KeyList } from './list.tsx'

const AGAIN_MS = 5000
const TYPING_MS = 200

const STATES = [
  ['', 'All'],
  ['alerting', 'Alert'],
  ['anomalous', 'Anomalous'],
  ['warming', 'Warming'],
  ['flat', 'Flat'],
  ['ok', 'OK'],
] as const

const SORTS = [
  ['trouble', 'In trouble first'],
  ['z', 'Deviations'],
  ['name', 'Name'],
  ['rate', 'Rate'],
  ['last_seen', 'Last seen'],
] as const

type Filters = Pick<KeysQuery, 'sort' | 'state' | 'search'>

export function KeysView() {
  const { parameters } = place.value
  const state = parameters.get('state') ?? ''
  const sort = parameters.get('sort') ?? 'trouble'
  const search = parameters.get('search') ?? ''
  const filters = {
    sort,
    ...(state !== '' && { state }),
    ...(search !== '' && { search }),
  } as Filters
  const inputs = [state, sort, search]
  const count = useResource(signal => client.keys({ ...filters, limit: 1 }, { signal }), AGAIN_MS, inputs)
  const page = count.value.value
  return (
    <>
      <h1>Keys</h1>
      <div class="row">
        <Search value={search} />
        <div class="row" role="group" aria-label="State">
          {STATES.map(([name, title]) => (
            <button
              key={name}
              type="button"
              class="button"
              aria-pressed={name === state}
              onClick={() => setParameter('state', name)}
            >
              {title}
            </button>
          ))}
        </div>
        <label class="row small soft">
          Sort by
          <select value={sort} onChange={event => setParameter('sort', event.currentTarget.value)}>
            {SORTS.map(([name, title]) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
        </label>
        {page !== undefined && (
          <p class="small soft" role="status">
            {plural(page.total, 'key')}, read <Ago at={page.as_of} />
          </p>
        )}
      </div>
      {page === undefined ? (
        count.failure.value === undefined ? (
          <p role="status">Loading …</p>
        ) : (
          <section class="panel">
            <FailureNote failure={count.failure.value} />
          </section>
        )
      ) : page.total === 0 ? (
        <section class="panel">
          <Empty isFiltered={state !== '' || search !== ''} />
        </section>
      ) : (
        <KeyList key={inputs.join('\n')} filters={filters} total={page.total} />
      )}
    </>
  )
}

function Search({ value }: { readonly value: string }) {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  useEffect(() => () => clearTimeout(timer.current), [])
  return (
    <input
      type="search"
      aria-label="Search keys"
      placeholder="Search keys"
      value={value}
      onInput={({ currentTarget }) => {
        clearTimeout(timer.current)
        timer.current = setTimeout(() => setParameter('search', currentTarget.value), TYPING_MS)
      }}
    />
  )
}

function Empty({ isFiltered }: { readonly isFiltered: boolean }) {
  if (isFiltered) return <Explain title="No key is like that now." />
  return (
    <Explain title="No keys yet.">
      <span>
        A key appears with its first sample. <a href={linkTo('send')}>Send one.</a>
      </span>
    </Explain>
  )
}
