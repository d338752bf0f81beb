/** How what is typed becomes a member of a rule. The gateway decides whether that is valid. */
export type FieldKind = 'text' | 'number' | 'numbers' | 'flag' | readonly string[]

export interface Field {
  /** The member; `alert.open` is a member of `alert`. */
  readonly path: string
  readonly label: string
  readonly kind: FieldKind
  readonly hint?: string
}

export interface FieldGroup {
  readonly title: string
  readonly fields: readonly Field[]
}

const text = (path: string, label: string, hint?: string): Field => field(path, label, 'text', hint)
const number = (path: string, label: string, hint?: string): Field => field(path, label, 'number', hint)

function field(path: string, label: string, kind: FieldKind, hint?: string): Field {
  return { path, label, kind, ...(hint !== undefined && { hint }) }
}

export const KEYS_FIELDS: readonly Field[] = [
  text('id', 'Name', 'Letters, digits, dots, dashes, underscores.'),
  text('pattern', 'Keys', '* stands for any text, ? for a character, {a,b} for either.'),
]

/** The members of a rule in groups; docs/rules.md explains each. */
export const GROUPS: readonly FieldGroup[] = [
  {
    title: 'What is an anomaly',
    fields: [
      field('detector', 'Detector', ['zscore', 'ewma', 'mad', 'range', 'novelty', 'habit', 'step']),
      number('threshold', 'Threshold', 'A score beyond it is an anomaly.'),
      text('budget', 'Budget', 'Instead of a threshold: 1 per key per week.'),
      field('direction', 'Direction', ['both', 'up', 'down']),
      number('deviation_min', 'Smallest deviation', 'In the unit of the values.'),
      number('deviation_min_relative', 'Smallest relative deviation', '0.1 is 10 %.'),
      number('min', 'Least allowed value'),
      number('max', 'Greatest allowed value'),
    ],
  },
  {
    title: 'When an alert opens and ends',
    fields: [
      field('alert.severity', 'Severity', ['info', 'warning', 'critical']),
      number('alert.samples', 'Anomalous samples', 'So many,'),
      number('alert.of', 'of the newest'),
      text('alert.hold', 'Must last', 'Such as 2m.'),
      number('alert.open', 'Opens beyond', 'In multiples of the threshold.'),
      number('alert.instant', 'Opens at once beyond', 'In multiples of the threshold.'),
      number('alert.sustained', 'Opens on a sum beyond', 'In multiples of the threshold, or off.'),
      field('alert.sides', 'Sides', ['same', 'any']),
      number('alert.close', 'Calm within', 'In multiples of the threshold.'),
      number('alert.close_after', 'Ends after calm samples'),
      text('alert.resolve_after', 'Ends without samples after', 'Such as 10m.'),
      text('silent', 'Silence', 'learned, or a duration such as 5m.'),
    ],
  },
  {
    title: 'How samples are read',
    fields: [
      number('window', 'Window', 'Samples that a verdict rests on.'),
      number('samples_min', 'Samples before the first verdict'),
      field('influence', 'Anomalies in the window', ['full', 'held']),
      number('level_shift_after', 'New level after', 'So many anomalies in a row on one side.'),
      field('counter', 'Counter: score the rate per second', 'flag'),
      field('ignore', 'Ignored values', 'numbers', 'Error values, such as -127, 85.'),
      text('unit', 'Unit'),
      field('late', 'Late samples', ['mark', 'refuse']),
      field('duplicates', 'Repeated samples', ['keep', 'drop']),
    ],
  },
]

export type RuleDraft = Readonly<Record<string, unknown>>

/** Returns a member by its path; undefined without it. */
export function memberAt(rule: RuleDraft, path: string): unknown {
  let at: unknown = rule
  for (const name of path.split('.')) {
    at = typeof at === 'object' && at !== null ? (at as RuleDraft)[name] : undefined
  }
  return at
}

/** Returns the rule with a member set, or without it if it is undefined. */
export function withMember(rule: RuleDraft, path: string, value: unknown): RuleDraft {
  const [name = '', ...rest] = path.split('.')
  const { [name]: before, ...others } = rule
  if (rest.length === 0) return value === undefined ? others : { ...rule, [name]: value }
  const inner = withMember(
    typeof before === 'object' && before !== null ? (before as RuleDraft) : {},
    rest.join('.'),
    value,
  )
  return Object.keys(inner).length === 0 ? others : { ...rule, [name]: inner }
}

/** Reads what was typed. What is no number stays a text: the gateway says what is wrong with it. */
export function readField(kind: FieldKind, typed: string): unknown {
  const given = typed.trim()
  if (given === '') return undefined
  if (kind === 'number') return toNumber(given)
  if (kind === 'numbers') {
    return given
      .split(/[\s,;]+/)
      .filter(one => one !== '')
      .map(toNumber)
  }
  return kind === 'flag' ? true : given
}

function toNumber(given: string): number | string {
  const value = Number(given)
  return Number.isFinite(value) ? value : given
}

export function fieldText(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value)) return value.map(fieldText).join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
