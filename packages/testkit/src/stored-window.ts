import type { StoredWindow } from '@tidemark/shared/detection/window-row'
import type { WindowUpdate } from '@tidemark/shared/store/ports/commit'

/** Returns a copy of what is stored of a key after an update, as the stores apply it. */
export function updateWindow(stored: StoredWindow | null, { kind, bytes, memory = null }: WindowUpdate): StoredWindow {
  const { row, tail, memory: before = null } = stored ?? { row: new Uint8Array(), tail: null }
  const newest = memory?.slice() ?? before
  return kind === 'row' ? { row: bytes.slice(), tail, memory: newest } : { row, tail: bytes.slice(), memory: newest }
}
