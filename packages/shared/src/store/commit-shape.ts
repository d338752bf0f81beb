import assert from 'node:assert/strict'
import { compareEntryIds } from '../sample/receipt.ts'
import type { Commit } from './ports/commit.ts'

/** Throws when the members of a commit contradict each other, so that no store could apply it. */
export function assertCommitShape(commit: Commit): void {
  const { from, to, entries, analysed, dead, deadLetters, verdicts } = commit
  // Trimmed entries are gone, so all of them must be applied.
  assert(compareEntryIds(commit.keepFrom ?? '0-0', to.id) <= 0, 'a commit must not trim entries that it does not apply')
  if (entries.length > 0) {
    assert.equal(entries.at(-1), to.id, 'a commit leads to its last entry')
    assert(
      commit.requiresDrained !== true,
      'only a commit without entries can require that no entry stands after the checkpoint',
    )
    return
  }
  assert.deepEqual(to, from, 'a commit without entries does not move the checkpoint')
  assert.equal(analysed + dead + deadLetters.length + verdicts.length, 0, 'a commit without entries has no samples')
}
