import type { Entry } from '@tidemark/shared/sample/entry'
import type { EntryId } from '@tidemark/shared/sample/receipt'
import { entriesAfter } from '../judging/run.ts'
import { bytesOf } from '../reading/entry-sizes.ts'

/** The entries of a partition that were read and are not applied yet, oldest first. */
export class EntryQueue {
  readonly #entries: Entry[] = []
  #samples = 0
  #bytes = 0
  #lastId: EntryId

  /** All entries are after `lastId`. */
  constructor(lastId: EntryId) {
    this.#lastId = lastId
  }

  get entries(): readonly Entry[] {
    return this.#entries
  }

  get samples(): number {
    return this.#samples
  }

  get bytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0
  }

  /** Adds those that are after all before, each once. */
  add(entries: readonly Entry[]): void {
    const added = entriesAfter(this.#lastId, entries)
    this.#entries.push(...added)
    this.#lastId = added.at(-1)?.id ?? this.#lastId
    this.#count(added, 1)
  }

  /** Removes the first ones. */
  remove(count: number): void {
    this.#count(this.#entries.splice(0, count), -1)
  }

  #count(entries: readonly Entry[], sign: 1 | -1): void {
    for (const entry of entries) {
      this.#samples += sign * (entry.count ?? 0)
      this.#bytes += sign * bytesOf(entry)
    }
  }
}
