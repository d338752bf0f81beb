/** With a hint more ranks off than this, selection is faster than moving rank by rank. */
const STEPS_MAX = 4

/**
 * Returns the median of the first `size` (at least one) of `numbers`, which may be reordered. For
 * an even number it is the middle of the middle two. A `hint` near the median saves passes over the
 * numbers and does not change the result.
 */
export function takeMedian(numbers: Float64Array, size: number, hint: number): number {
  const upperRank = size >> 1
  const lowerRank = (size - 1) >> 1
  let guess = hint
  for (let step = 0; step < STEPS_MAX; step++) {
    let less = 0
    let greater = 0
    let below = Number.NEGATIVE_INFINITY
    let above = Number.POSITIVE_INFINITY
    // Not branches: a mispredicted one costs as much as ten comparisons.
    for (let i = 0; i < size; i++) {
      const number = numbers[i] as number
      const isLess = Number(number < guess)
      const isGreater = Number(number > guess)
      less += isLess
      greater += isGreater
      if (isLess & Number(number > below)) below = number
      if (isGreater & Number(number < above)) above = number
    }
    const notGreater = size - greater
    // Ranks: `below` less - 1, the guess less ... notGreater - 1 (if any), `above` notGreater.
    if (lowerRank >= less - 1 && upperRank <= notGreater) {
      const lower = lowerRank < less ? below : lowerRank < notGreater ? guess : above
      const upper = upperRank < less ? below : upperRank < notGreater ? guess : above
      return middleOf(lower, upper)
    }
    guess = upperRank > notGreater ? above : below
  }
  const upper = select(numbers, size, upperRank)
  if (upperRank === lowerRank) return upper
  // The numbers before the selected one are not greater than it.
  let lower = numbers[0] as number
  for (let i = 1; i < upperRank; i++) lower = Math.max(lower, numbers[i] as number)
  return middleOf(lower, upper)
}

function middleOf(lower: number, upper: number): number {
  return lower === upper ? lower : lower / 2 + upper / 2
}

/** Moves the number of the given rank to that index and returns it (Hoare's selection). */
function select(numbers: Float64Array, size: number, rank: number): number {
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
    if (rank <= j) right = j
    else if (rank >= i) left = i
    else break
  }
  return numbers[rank] as number
}
