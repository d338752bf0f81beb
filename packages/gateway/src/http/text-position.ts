/** A place in a text as editors show it; both counts begin at 1. */
export interface TextPosition {
  readonly line: number
  /** In UTF-16 units. */
  readonly column: number
}

/** Returns a function that finds the position of an offset, in logarithmic time after the first. */
export function positionsIn(text: string): (offset: number) => TextPosition {
  let starts: number[] | undefined
  return offset => {
    starts ??= lineStarts(text)
    let low = 0
    let high = starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((starts[middle] as number) <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - (starts[low] as number) + 1 }
  }
}

export function formatPosition({ line, column }: TextPosition): string {
  return `line ${line}, column ${column}`
}

function lineStarts(text: string): number[] {
  const starts = [0]
  for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', end + 1)) starts.push(end + 1)
  return starts
}
