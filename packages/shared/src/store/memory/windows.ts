import type { StoredWindow } from '../../detection/window-row.ts'
import type { KeyRow } from './data.ts'

export function storedWindow(found: KeyRow | undefined): StoredWindow | null {
  const row = copyBytes(found?.row)
  return row === null ? null : { row, tail: copyBytes(found?.tail) }
}

/** Not with slice(): that of a Buffer shares the memory. */
function copyBytes(bytes: Uint8Array | null | undefined): Uint8Array | null {
  return bytes === undefined || bytes === null ? null : new Uint8Array(bytes)
}
