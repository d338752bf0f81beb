import assert from 'node:assert/strict'
import { compareEntryIds } from '../sample/receipt.ts'
import type { Commit } from './ports/commit.ts'

/** Throws when a commit does not hang together: no store could apply it rightly. */
export function assertCommitShape(commit: Commit): void {
  const { from, to, entries, analysed, dead, deadLetters, verdicts } = commit
  // What is trimmed is gone: nothing that is not applied.
  assert(compareEntryIds(commit.keepFrom ?? '0-0', to.id) <= 0, 'a commit keeps what it does not apply')
  if (entries.length > 0) {
    assert.equal(entries.at(-1), to.id, 'a commit leads to its last entry')
    assert(commit.requiresDrained !== true, 'a commit with entries starts where something stands after the checkpoint')
    return
  }
  assert.deepEqual(to, from, 'a commit without entries stays where it is')
  assert.equal(analysed + dead + deadLetters.length + verdicts.length, 0, 'a commit without entries has no samples')
}
