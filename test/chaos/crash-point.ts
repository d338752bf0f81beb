import type { Effect, Exchange, Point } from './proxy.ts'

/**
 * The moments at which an analyzer is killed, made from what passes its proxy: the code that is deployed has no branch for
 * tests.
 */
export interface CrashPoint {
  readonly point: Point
  readonly matches: (exchange: Exchange) => boolean
  /** What becomes of the command or reply while its process dies. */
  readonly effect: Effect['kind'] & ('pass' | 'cut' | 'tear' | 'orphan')
  /** Happens only while a partition changes hands, so another analyzer is killed first. */
  readonly isTakeover?: true
}

const isCommit = ({ command }: Exchange): boolean => command.name === 'commit'

/** A reply with at least one entry in it; without any it is `*-1`, `_` or `*0`, or a stream without entries. */
export function hasEntries({ reply }: Exchange): boolean {
  return reply !== undefined && reply.length > 60
}

export const CRASH_POINTS = {
  /** Entries were read and are pending; nothing was done with them. */
  after_read: { point: 'delivered', matches: e => e.command.name === 'read' && hasEntries(e), effect: 'pass' },
  /** Windows are asked for. */
  before_compute: { point: 'arriving', matches: e => e.command.name === 'hmget', effect: 'cut' },
  /** The first bytes of the commit left the process: verdicts are in memory and nowhere else. */
  after_compute: { point: 'arriving', matches: isCommit, effect: 'cut' },
  /** Half of the commit reached Redis. */
  before_commit: { point: 'arriving', matches: isCommit, effect: 'tear' },
  /** Redis executes the commit, and nobody hears of it. */
  after_commit_sent: { point: 'forwarded', matches: isCommit, effect: 'orphan' },
  /** The answer is there, and nothing was done with it. */
  after_commit_reply: { point: 'delivered', matches: isCommit, effect: 'pass' },
  during_takeover_lease: {
    point: 'delivered',
    matches: ({ command, reply }) => command.name === 'acquire' && reply?.toString() === ':1\r\n',
    effect: 'pass',
    isTakeover: true,
  },
  during_takeover_checkpoint: {
    point: 'delivered',
    matches: ({ command }) => command.name === 'load-checkpoint',
    effect: 'pass',
    isTakeover: true,
  },
  /** The pending entries of a dead owner were handed over, and their new owner dies too. */
  during_takeover_pending: {
    point: 'delivered',
    matches: e => e.command.name === 'pending' && hasEntries(e),
    effect: 'pass',
    isTakeover: true,
  },
} as const satisfies Record<string, CrashPoint>

export type CrashPointName = keyof typeof CRASH_POINTS

export const CRASH_POINT_NAMES = Object.keys(CRASH_POINTS) as CrashPointName[]
