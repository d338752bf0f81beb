import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'

/** Arguments of every Redis: as in production, except that replicas synchronise at once. */
export const REDIS_ARGS = [
  '--maxmemory-policy',
  'noeviction',
  '--aof-load-truncated',
  'yes',
  '--repl-diskless-sync-delay',
  '0',
]

/** The same, with the settings that a durability level needs. */
export function redisArgs(durability: DurabilityLevel): string[] {
  switch (durability) {
    case 'disk':
      return [...REDIS_ARGS, '--appendfsync', 'always']
    case 'replicated':
      return [...REDIS_ARGS, '--min-replicas-to-write', '1']
    default:
      return REDIS_ARGS
  }
}
