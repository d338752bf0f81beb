import { crc32 } from 'node:zlib'

/** Partitions of a new deployment unless it says otherwise. */
export const PARTITIONS_DEFAULT = 16

/** More would make a flush of the gateway and the analyzers' reads too wide. */
export const PARTITIONS_MAX = 1024

/** crc32 of each byte (ISO 3309, the polynomial 0xedb88320 in reversed order). */
const CRC_OF_BYTE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

/** The partition of `key` among `partitions`: crc32 of its UTF-8 bytes, so that a key's samples stay in one stream. */
export function partitionOf(key: string, partitions: number): number {
  // node:zlib takes 100 ns for a text of 20 characters, most of them to hand it over; this takes 25 where it is ASCII.
  // Asked once: V8 has a dozen kinds of strings, and where a loop has met more than four it looks `length` up each time.
  const { length } = key
  let crc = -1
  for (let i = 0; i < length; i++) {
    const code = key.charCodeAt(i)
    if (code > 0x7f) return crc32(key) % partitions
    crc = (CRC_OF_BYTE[(crc ^ code) & 0xff] as number) ^ (crc >>> 8)
  }
  return ((crc ^ -1) >>> 0) % partitions
}
