import { isUtf8 } from 'node:buffer'
import type { PbfReader } from 'pbf'
import { UNREADABLE } from '../../http/charset.ts'

/** Wire types of protobuf. */
export const VARINT = 0
export const FIXED64 = 1
export const BYTES = 2
export const FIXED32 = 5

/** Thrown where bytes are no message. Its `message` is the reason, for a client's developer. */
export class WireFault extends Error {}

/** Reads the length of a field of type BYTES, and returns where it ends: at `end` at the latest. */
export function readEnd(pbf: PbfReader, end: number): number {
  const length = pbf.readVarint()
  // Negated, so that NaN is none.
  if (!(length <= end - pbf.pos)) throw new WireFault('a field is longer than the message that it is in')
  return pbf.pos + length
}

/** Reads a text up to `end`. One that is not UTF-8 gets a lone surrogate, which no key may have. */
export function readText(pbf: PbfReader, end: number): string {
  const bytes = (pbf.buf as Buffer).subarray(pbf.pos, end)
  pbf.pos = end
  const text = bytes.toString()
  return isUtf8(bytes) ? text : text + UNREADABLE
}

/** Goes past the value of an unknown field. */
export function skipField(pbf: PbfReader, type: number, end: number): void {
  if (type === BYTES) pbf.pos = readEnd(pbf, end)
  else if (type === VARINT) pbf.readVarint()
  else if (type === FIXED64) pbf.pos += 8
  else if (type === FIXED32) pbf.pos += 4
  else throw new WireFault(`a field has the wire type ${type}`)
}

/** Reads the tag of a field. Its number is at least 1. */
export function readTag(pbf: PbfReader): number {
  const tag = pbf.readVarint()
  if (tag < 8) throw new WireFault('a field has the number 0')
  return tag
}

/** Throws unless a message was read exactly up to its end. */
export function checkEnd(pbf: PbfReader, end: number): void {
  if (pbf.pos !== end) throw new WireFault('the last field of a message is cut off')
}

/** Returns why bytes that could not be decoded are no message; rethrows what is a bug. */
export function wireReason(error: unknown): string {
  if (error instanceof WireFault) return error.message
  // Thrown by reads beyond the end of the bytes, and by varints without an end.
  if (error instanceof RangeError || (error instanceof Error && error.message.includes('varint'))) {
    return 'it is cut off'
  }
  throw error
}
