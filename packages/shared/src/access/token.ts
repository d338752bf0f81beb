import { createHash, randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'

const DIGITS_AND_LETTERS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
const ID_BASE = 36
const ID_LENGTH = 12

/** 62 ** 43 is more than 2 ** 256. */
const SECRET_LENGTH = 43

/** 62 ** 6 is more than 2 ** 32. */
const CHECKSUM_LENGTH = 6

/**
 * The form of an API key: `tmk_`, its id, and its secret with a checksum. It has no dash, so that a
 * double click selects all of it. Secret scanners can search for this expression.
 */
export const TOKEN_FORM = /^tmk_([0-9a-z]{12})_[0-9A-Za-z]{49}$/

export const KEY_ID_FORM = /^[0-9a-z]{12}$/

/** Creates an API key. Only its digest is stored, so it cannot be shown again. */
export function createToken(): { readonly id: string; readonly token: string } {
  const id = randomText(ID_LENGTH, ID_BASE)
  const body = `tmk_${id}_${randomText(SECRET_LENGTH, DIGITS_AND_LETTERS.length)}`
  return { id, token: body + checksumOf(body) }
}

/** Returns the id in an API key; undefined for a text that is none. */
export function idInToken(token: string): string | undefined {
  return TOKEN_FORM.exec(token)?.[1]
}

/** Whether the checksum of an API key is wrong: it was not copied as it was created. */
export function isMisspelled(token: string): boolean {
  return checksumOf(token.slice(0, -CHECKSUM_LENGTH)) !== token.slice(-CHECKSUM_LENGTH)
}

/** Returns the SHA-256 of an API key: 256 random bits need no salt and no slow function. */
export function digestOfToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

function randomText(length: number, base: number): string {
  return Array.from({ length }, () => DIGITS_AND_LETTERS[randomInt(base)]).join('')
}

function checksumOf(text: string): string {
  let rest = crc32(text)
  let digits = ''
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    digits = DIGITS_AND_LETTERS[rest % DIGITS_AND_LETTERS.length] + digits
    rest = Math.floor(rest / DIGITS_AND_LETTERS.length)
  }
  return digits
}
