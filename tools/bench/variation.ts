/** A setting and the two values that are compared. An empty one leaves the setting out. */
export interface Variation {
  readonly setting: string
  readonly values: readonly [string, string]
}

/** Reads `NAME=A,B`; undefined if it has another form, or two equal values. */
export function parseVariation(text: string): Variation | undefined {
  const [, setting, first, second] = /^([A-Z][A-Z0-9_]*)=([^,]*),([^,]*)$/.exec(text) ?? []
  if (setting === undefined || first === undefined || second === undefined || first === second) return undefined
  return { setting, values: [first, second] }
}
