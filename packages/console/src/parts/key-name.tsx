import { keyLink } from '../router.ts'
import { numberOf, visible } from './visible.ts'

/** Matches a key that has something to see. */
const VISIBLE = /[^\s\p{C}\p{Z}\p{M}\u115f\u1160\u2800\u3164\uffa0]/u

/** A key as text; one of nothing but blanks and invisible characters by their numbers. */
export function keyText(key: string): string {
  return VISIBLE.test(key) ? visible(key) : [...key].map(numberOf).join(' ')
}

/** A key, isolated, so that writing from right to left does not reorder what stands beside it. */
export function KeyName({ name }: { readonly name: string }) {
  return <bdi>{keyText(name)}</bdi>
}

export function KeyLink({ name }: { readonly name: string }) {
  return (
    <a href={keyLink(name)} title={name}>
      <KeyName name={name} />
    </a>
  )
}
