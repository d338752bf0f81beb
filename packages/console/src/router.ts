import { signal } from '@preact/signals'

/** Where the user is: `#/key?key=edge-17%2Frps`. Links are permanent. */
export interface Place {
  readonly view: string
  readonly parameters: URLSearchParams
}

export const place = signal(read())

addEventListener('hashchange', () => {
  place.value = read()
  scrollTo(0, 0)
})

function read(): Place {
  const [view = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  return { view: view === '' ? 'now' : view, parameters: new URLSearchParams(query) }
}

export function linkTo(view: string, parameters: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(parameters).toString()
  return `#/${view}${query === '' ? '' : `?${query}`}`
}

export function keyLink(key: string): string {
  return linkTo('key', { key })
}

/** Changes a parameter of the place without an entry in the history. */
export function setParameter(name: string, value: string): void {
  const { view, parameters } = place.value
  const changed = new URLSearchParams(parameters)
  if (value === '') changed.delete(name)
  else changed.set(name, value)
  const query = changed.toString()
  history.replaceState(null, '', `#/${view}${query === '' ? '' : `?${query}`}`)
  place.value = { view, parameters: changed }
}
