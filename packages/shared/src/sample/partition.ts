import { crc32 } from 'node:zlib'

export const PARTITIONS_DEFAULT = 16

/** With more partitions, a gateway's flush and an analyzer's read would touch too many streams. */
export const PARTITIONS_MAX = 1024

/** Returns the partition of a key, always the same: crc32 of its UTF-8 bytes % `partitions`. */
export function partitionOf(key: string, partitions: number): number {
  return partitionOfHash(crc32(key), partitions)
}

/** The same of the crc32, signed or not. */
export function partitionOfHash(hash: number, partitions: number): number {
  return (hash >>> 0) % partitions
}
