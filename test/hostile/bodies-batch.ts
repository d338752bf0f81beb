import type { Random } from '@tidemark/testkit/random'

export interface SentSample {
  readonly key: string
  readonly value: number
  /** Undefined where the sample has none of its own. */
  readonly timestamp: number | undefined
}

/** One item of a body: its text, and the samples in it. */
export interface SentItem {
  readonly text: string
  readonly samples: readonly SentSample[]
  /** The texts of the samples' values, in the order of `samples`. */
  readonly values: readonly string[]
  readonly isReport: boolean
}

/** Characters of keys that a reader of damaged text could take for something else. */
const KEY_PARTS = [
  'a',
  'B',
  '7',
  ' ',
  '/',
  '.',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '\u00e4',
  '\u{1f600}',
  'NaN',
  '{"key":',
]

/** Creates items with samples that no other item has, and with a value that occurs only once. */
export function createItems(random: Random, count: number, serial: () => number): SentItem[] {
  return Array.from({ length: count }, () =>
    random.uniform() < 0.3 ? createReport(random, serial) : createSample(random, serial),
  )
}

function createSample(random: Random, serial: () => number): SentItem {
  const key = createName(random, serial)
  const sample = { key, value: createValue(random, serial), timestamp: createTimestamp(random) }
  const members = [`"key":${JSON.stringify(key)}`, `"value":${sample.value}`]
  if (sample.timestamp !== undefined) members.push(`"timestamp":${sample.timestamp}`)
  return {
    text: `{${random.shuffled(members).join(space(random, ','))}}`,
    samples: [sample],
    values: [String(sample.value)],
    isReport: false,
  }
}

function createReport(random: Random, serial: () => number): SentItem {
  const device = `dev${serial()}`
  const timestamp = createTimestamp(random)
  const samples = Array.from({ length: random.integer(1, 5) }, () => {
    const name = createName(random, serial)
    return { name, key: `${device}/${name}`, value: createValue(random, serial), timestamp }
  })
  const metrics = samples.map(({ name, value }) => `${JSON.stringify(name)}:${value}`).join(space(random, ','))
  // Where the timestamp follows the metrics, a cut before it takes the time from them.
  const members = [`"device":"${device}"`, ...(timestamp === undefined ? [] : [`"timestamp":${timestamp}`])]
  return {
    text: `{${[...members, `"metrics":{${metrics}}`].join(space(random, ','))}}`,
    samples,
    values: samples.map(({ value }) => String(value)),
    isReport: true,
  }
}

function createName(random: Random, serial: () => number): string {
  const parts = Array.from({ length: random.integer(0, 4) }, () => random.pick(KEY_PARTS))
  const name = `${parts.join('')}k${serial()}`
  // After a missing quote this would be the value of the text before it: {"a:1,":7,...
  return /^ *: *7/.test(name) ? `k${name}` : name
}

/** Values are unique and have at least six digits, so that their text is found in the body. */
function createValue(random: Random, serial: () => number): number {
  return (random.uniform() < 0.5 ? 1 : -1) * (100_000 + serial()) + (random.uniform() < 0.5 ? 0.25 : 0)
}

function createTimestamp(random: Random): number | undefined {
  return random.uniform() < 0.5 ? undefined : 1_700_000_000_000 + random.integer(0, 1_000_000)
}

function space(random: Random, separator: string): string {
  return random.pick([separator, separator, `${separator} `])
}
