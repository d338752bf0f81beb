import type { Effect, Exchange, Point } from './proxy.ts'

/**
 * A moment at which an analyzer is killed, recognised by what passes its proxy. Production code has
 * no branches for tests.
 */
export interface CrashPoint {
  readonly point: Point
  readonly matches: (exchange: Exchange) => boolean
  /** What happens to the command or reply while its process is killed. */
  readonly effect: Effect['kind'] & ('pass' | 'cut' | 'tear' | 'orphan')
  /** Occurs only during a takeover, so another analyzer is killed first. */
  readonly isDuringTakeover?: true
}

const isCommit = ({ command }: Exchange): boolean => command.name === 'commit'

/** Whether a read returned entries. Without any, the reply is `*-1`, `_`, `*0` or short. */
export function hasEntries({ reply }: Exchange): boolean {
  return reply !== undefined && reply.length > 60
}

export const CRASH_POINTS = {
  /** Entries were read and are pending; none has been processed. */
  after_read: { point: 'delivered', matches: e => e.command.name === 'read' && hasEntries(e), effect: 'pass' },
  /** Windows are requested. */
  before_compute: { point: 'arriving', matches: e => e.command.name === 'hmget', effect: 'cut' },
  /** The commit is about to leave: verdicts exist only in memory. */
  after_compute: { point: 'arriving', matches: isCommit, effect: 'cut' },
  /** Half of the commit reached Redis. */
  before_commit: { point: 'arriving', matches: isCommit, effect: 'tear' },
  /** Redis executes the commit, but the analyzer never gets the reply. */
  after_commit_sent: { point: 'forwarded', matches: isCommit, effect: 'orphan' },
  /** The reply was delivered but not processed. */
  after_commit_reply: { point: 'delivered', matches: isCommit, effect: 'pass' },
  /** Redis has found that a transaction may be executed, and waits for its commands. */
  during_transaction: { point: 'delivered', matches: e => e.command.name === 'check', effect: 'pass' },
  during_takeover_lease: {
    point: 'delivered',
    matches: ({ command, reply }) => command.name === 'acquire' && reply?.toString() === ':1\r\n',
    effect: 'pass',
    isDuringTakeover: true,
  },
  during_takeover_checkpoint: {
    point: 'delivered',
    matches: ({ command }) => command.name === 'load-checkpoint',
    effect: 'pass',
    isDuringTakeover: true,
  },
  /** The new owner is killed too, with the pending entries of the crashed owner. */
  during_takeover_pending: {
    point: 'delivered',
    matches: e => e.command.name === 'pending' && hasEntries(e),
    effect: 'pass',
    isDuringTakeover: true,
  },
} as const satisfies Record<string, CrashPoint>

export type CrashPointName = keyof typeof CRASH_POINTS

export const CRASH_POINT_NAMES = Object.keys(CRASH_POINTS) as CrashPointName[]
