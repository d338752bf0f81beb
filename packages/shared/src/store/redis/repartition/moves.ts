import { keysUnder, type PartitionKeys } from '../../keys.ts'

export type Name = keyof PartitionKeys

type Move =
  | 'hash by key'
  | 'stream by key'
  | 'set by alert'
  | 'stream by alert'
  | 'sums'
  /** Copy has code for it. */
  | 'in its own way'
  | 'dropped'

/** How the data of each name moves. Without a decision here, a new name does not compile. */
const MOVES = {
  windows: 'hash by key',
  windowTails: 'hash by key',
  guardMemories: 'hash by key',
  lastAnalysis: 'hash by key',
  keyAlerts: 'hash by key',
  keys: 'hash by key',
  aggregates: 'hash by key',
  anomalies: 'stream by key',
  shadowed: 'stream by key',
  alertsFiring: 'set by alert',
  alertsResolved: 'set by alert',
  notificationChecks: 'set by alert',
  alertFeed: 'stream by alert',
  alertChanges: 'stream by alert',
  outbox: 'stream by alert',
  deadNotifications: 'stream by alert',
  keyBirths: 'sums',
  ruleCounts: 'sums',
  samples: 'in its own way',
  accepted: 'in its own way',
  checkpoint: 'in its own way',
  aggregatesHours: 'in its own way',
  aggregatesDays: 'in its own way',
  deadLetters: 'in its own way',
  alerts: 'in its own way',
  ruleAlerts: 'in its own way',
  timers: 'in its own way',
  outboxPositions: 'in its own way',
  outboxRetries: 'in its own way',
  keyOwners: 'in its own way',
  keyDeletions: 'in its own way',
  storm: 'in its own way',
  lease: 'dropped',
  ownerChanges: 'dropped',
  verdicts: 'dropped',
  requests: 'dropped',
  requestTimes: 'dropped',
  points: 'dropped',
} as const satisfies Readonly<Record<Name, Move>>

type NamesThat<M extends Move> = { [N in Name]: (typeof MOVES)[N] extends M ? N : never }[Name]

export function namesThat<M extends Move>(move: M): readonly NamesThat<M>[] {
  return (Object.keys(MOVES) as Name[]).filter((name): name is NamesThat<M> => MOVES[name] === move)
}

/** A row of a shadow rule has this before its key. */
const SHADOW = '\u0001'

/** Returns the key that a field of a hash by key belongs to. */
export function keyOf(field: string): string {
  return field.startsWith(SHADOW) ? field.slice(SHADOW.length) : field
}

/** The names of the rings of a key's aggregates, which are keys of Redis of their own. */
export function ringsOf({ aggregatesHours, aggregatesDays }: PartitionKeys, key: string): string[] {
  return [`${aggregatesHours}:${key}`, `${aggregatesDays}:${key}`]
}

/** Data that is to replace that of its partition has this before its name. */
export const STAGED = 'next:'

/** The partition has what is to replace its data. */
export const READY = `${STAGED}ready`

const ROOT = ':{0}:'
const STORED = keysUnder('').partition(0)
const storedName = (name: Name): string => STORED[name].slice(ROOT.length)
const KNOWN: ReadonlySet<string> = new Set([...(Object.keys(STORED) as Name[]).map(storedName), READY])
/** A key or a receiver follows. */
const KNOWN_BEGINNINGS = (['aggregatesHours', 'aggregatesDays', 'outboxRetries'] as const).map(
  name => `${storedName(name)}:`,
)

/** Whether a key of Redis in a partition, without what all of them begin with, is one of these. */
export function isKnown(name: string): boolean {
  if (KNOWN.has(name)) return true
  const own = name.startsWith(STAGED) ? name.slice(STAGED.length) : name
  return KNOWN.has(own) || KNOWN_BEGINNINGS.some(beginning => own.startsWith(beginning))
}
