/**
 * The median of the first `size` numbers (at least one) of `numbers`, which are put into another order: Hoare's selection,
 * O(size) on average. Of an even number the middle of the middle two.
 */
export function takeMedian(numbers: Float64Array, size: number): number {
  const middle = size >> 1
  const upper = select(numbers, size, middle)
  if (size % 2 === 1) return upper
  // What stands before the selected place is no greater than it.
  let lower = numbers[0] as number
  for (let i = 1; i < middle; i++) lower = Math.max(lower, numbers[i] as number)
  return lower / 2 + upper / 2
}

/** Puts the number that belongs at `place` in sorted order there, and returns it. */
function select(numbers: Float64Array, size: number, place: number): number {
  let left = 0
  let right = size - 1
  while (left < right) {
    const pivot = numbers[(left + right) >> 1] as number
    let i = left
    let j = right
    while (i <= j) {
      while ((numbers[i] as number) < pivot) i++
      while ((numbers[j] as number) > pivot) j--
      if (i > j) break
      const moved = numbers[i] as number
      numbers[i] = numbers[j] as number
      numbers[j] = moved
      i++
      j--
    }
    if (place <= j) right = j
    else if (place >= i) left = i
    else break
  }
  return numbers[place] as number
}
