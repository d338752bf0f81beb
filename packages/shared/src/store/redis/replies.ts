/** Reads names and values, as Redis returns entries and hashes; the last value of a name counts. */
export function toFields<T extends string | Buffer>(flat: readonly T[]): Map<string, T> {
  const fields = new Map<string, T>()
  for (let i = 0; i + 1 < flat.length; i += 2) fields.set(String(flat[i]), flat[i + 1] as T)
  return fields
}

/** Splits a flat list of pairs. */
export function toPairs(flat: readonly string[]): [string, string][] {
  const pairs: [string, string][] = []
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return pairs
}
