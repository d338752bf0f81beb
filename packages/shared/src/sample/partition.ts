import { crc32 } from 'node:zlib'
import { charCodeAt } from '../parsing/char-code.ts'

export const PARTITIONS_DEFAULT = 16

/** With more partitions, a gateway's flush and an analyzer's read would touch too many streams. */
export const PARTITIONS_MAX = 1024

/** The crc32 of each byte (ISO 3309; reversed polynomial 0xedb88320). */
export const CRC_OF_BYTE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

/** Returns the partition of a key, always the same: crc32 of its UTF-8 bytes % `partitions`. */
export function partitionOf(key: string, partitions: number): number {
  return partitionOfHash(keyHash(key), partitions)
}

export function partitionOfHash(hash: number, partitions: number): number {
  return (hash >>> 0) % partitions
}

/** Returns the crc32 of a key's UTF-8 bytes as an int32, which V8 keeps without an allocation. */
export function keyHash(key: string): number {
  // node:zlib takes 100 ns for 20 characters, mostly for the call; this loop takes 25 ns if they
  // are ASCII. The length is read once: after more than four of V8's string representations, the
  // loop would look it up each time.
  const { length } = key
  let crc = -1
  for (let i = 0; i < length; i++) {
    const code = charCodeAt(key, i)
    if (code > 0x7f) return crc32(key) | 0
    crc = (CRC_OF_BYTE[(crc ^ code) & 0xff] as number) ^ (crc >>> 8)
  }
  return crc ^ -1
}
