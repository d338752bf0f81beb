import { signal } from '@preact/signals'

/** Where the user is: `#/key?key=edge-17%2Frps`. Links are permanent. */
export interface Place {
  readonly view: string
  readonly parameters: URLSearchParams
}

export const place = signal(read())

addEventListener('hashchange', () => {
  const before = place.peek()
  place.value = read()
  const { view, parameters } = place.peek()
  // Another time of the same key is the same page.
  if (view !== before.view || parameters.get('key') !== before.parameters.get('key')) scrollTo(0, 0)
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
  setParameters({ [name]: value }, 'replaceState')
}

/** Changes parameters of the place; the back button of the browser returns to the present ones. */
export function goTo(parameters: Readonly<Record<string, string>>): void {
  setParameters(parameters, 'pushState')
}

/** An empty value removes a parameter. */
function setParameters(changes: Readonly<Record<string, string>>, how: 'pushState' | 'replaceState'): void {
  const { view, parameters } = place.value
  const changed = new URLSearchParams(parameters)
  for (const [name, value] of Object.entries(changes)) {
    if (value === '') changed.delete(name)
    else changed.set(name, value)
  }
  const query = changed.toString()
  if (query === parameters.toString()) return
  history[how](null, '', `#/${view}${query === '' ? '' : `?${query}`}`)
  place.value = { view, parameters: changed }
}
