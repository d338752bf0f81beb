interface Entry<V> {
  readonly value: V
  next: Entry<V> | undefined
}

/**
 * What was used lately, by a text, in a bounded memory. It has two generations: when the newer one
 * is full, the older one is forgotten, except for what was used since. Senders have an order, so
 * the value that followed another one last time is expected again.
 */
export class RecentMap<V> {
  readonly #bytesMax: number
  #newer = new Map<string, Entry<V>>()
  #older = new Map<string, Entry<V>>()
  #newerBytes = 0
  #last: Entry<V> | undefined

  /** `bytesMax` bounds the texts of each generation, in UTF-16. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get size(): number {
    return this.#newer.size + this.#older.size
  }

  /** To compare with it takes less than a look-up; `advance` says that it was the right one. */
  get expected(): V | undefined {
    return this.#last?.next?.value
  }

  advance(): void {
    this.#last = this.#last?.next
  }

  get(text: string): V | undefined {
    const newer = this.#newer.get(text)
    const entry = newer ?? this.#older.get(text)
    if (entry === undefined) return undefined
    if (newer === undefined) this.#remember(text, entry)
    this.#follow(entry)
    return entry.value
  }

  set(text: string, value: V): void {
    const entry = { value, next: undefined }
    this.#remember(text, entry)
    this.#follow(entry)
  }

  clear(): void {
    this.#newer.clear()
    this.#older.clear()
    this.#newerBytes = 0
    this.#last = undefined
  }

  #follow(entry: Entry<V>): void {
    if (this.#last !== undefined) this.#last.next = entry
    this.#last = entry
  }

  #remember(text: string, entry: Entry<V>): void {
    this.#newer.set(text, entry)
    this.#newerBytes += 2 * text.length
    if (this.#newerBytes <= this.#bytesMax) return
    // What is forgotten must not live on as the next of others.
    for (const generation of [this.#older, this.#newer]) for (const one of generation.values()) one.next = undefined
    this.#older = this.#newer
    this.#newer = new Map()
    this.#newerBytes = 0
    this.#last = undefined
  }
}
