import { crc32 } from 'node:zlib'

/** Partitions of a new deployment unless it says otherwise. */
export const PARTITIONS_DEFAULT = 16

/** More would make a flush of the gateway and the analyzers' reads too wide. */
export const PARTITIONS_MAX = 1024

/** The partition of `key` among `partitions`: crc32 of its UTF-8 bytes, so that a key's samples stay in one stream. */
export function partitionOf(key: string, partitions: number): number {
  return crc32(key) % partitions
}
