import { keyLink } from '../router.ts'

/** Matches a key that has something to see. */
const VISIBLE = /[^\s\p{C}\p{Z}\p{M}\u115f\u1160\u2800\u3164\uffa0]/u

/** A key as text; one of nothing but blanks and invisible characters by their numbers. */
export function keyText(key: string): string {
  if (VISIBLE.test(key)) return key
  return [...key]
    .map(character => `U+${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}`)
    .join(' ')
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
