/**
 * Bounds the memory that the runs of all partitions need at the same time: their rows, which may
 * exceed the memory of the windows until the run ends, and their encoded commits. Runs enter in the
 * order in which they ask. One that is larger than the limit enters alone.
 */
export class RunLimit {
  readonly #bytesMax: number
  readonly #waiting: { readonly bytes: number; readonly enter: () => void }[] = []
  #bytes = 0

  constructor({ bytesMax }: { readonly bytesMax: number }) {
    this.#bytesMax = bytesMax
  }

  /** Resolves when there is room. Dispose of the result when the run ends; twice does no harm. */
  async enter(bytes: number): Promise<Disposable> {
    if (this.#waiting.length > 0 || !this.#hasRoomFor(bytes)) {
      await new Promise<void>(enter => this.#waiting.push({ bytes, enter }))
    } else {
      this.#bytes += bytes
    }
    let held = bytes
    return {
      [Symbol.dispose]: () => {
        this.#bytes -= held
        held = 0
        this.#admit()
      },
    }
  }

  #admit(): void {
    for (let [next] = this.#waiting; next !== undefined && this.#hasRoomFor(next.bytes); [next] = this.#waiting) {
      this.#waiting.shift()
      this.#bytes += next.bytes
      next.enter()
    }
  }

  #hasRoomFor(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax
  }
}
