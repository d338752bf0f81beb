/** With a hint this far off in rank, selection is quicker than going there one rank after the other. */
const STEPS_MAX = 4

/**
 * The median of the first `size` numbers (at least one) of `numbers`, which may be put into another order. Of an even number
 * the middle of the middle two. `hint` may be anything: the result does not depend on it, but near the median, as that of a
 * window a sample ago is, it is found in a pass or two.
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
    // Sums of truth values instead of branches: which side a number is on cannot be predicted, and each miss costs as much
    // as ten comparisons.
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
    // Now `below` has rank less - 1, the guess the ranks from less to notGreater - 1 if there are any, `above` notGreater.
    if (lowerRank >= less - 1 && upperRank <= notGreater) {
      const lower = lowerRank < less ? below : lowerRank < notGreater ? guess : above
      const upper = upperRank < less ? below : upperRank < notGreater ? guess : above
      return middleOf(lower, upper)
    }
    guess = upperRank > notGreater ? above : below
  }
  const upper = select(numbers, size, upperRank)
  if (upperRank === lowerRank) return upper
  // What stands before the selected place is no greater than it.
  let lower = numbers[0] as number
  for (let i = 1; i < upperRank; i++) lower = Math.max(lower, numbers[i] as number)
  return middleOf(lower, upper)
}

function middleOf(lower: number, upper: number): number {
  return lower === upper ? lower : lower / 2 + upper / 2
}

/** Puts the number that belongs at `place` in sorted order there, and returns it (Hoare's selection). */
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
