interface Remembered {
  value: number
  visited: number
}

/** A slow, obvious form of a detector's memory: a list that is searched from end to end. */
export function oracleMemory({ capacity, newAbove }: { capacity: number; newAbove: number }) {
  const list: (Remembered | undefined)[] = Array.from({ length: capacity }, () => undefined)
  let low = 0
  let high = 0
  let number = 1

  const inWidthsOf = (distance: number, value: number): number => {
    const rounding = 4 * 2 ** -52 * Math.abs(value)
    if (high - low <= rounding) return distance <= rounding ? 0 : 1e6
    return Math.min(1e6, distance / (high - low))
  }

  function look(value: number) {
    const active = list.filter(other => other !== undefined).filter(other => other.visited > number - 1 - 4000)
    const distances = active.map(other => Math.abs(other.value - value))
    const nearest = active[distances.indexOf(Math.min(...distances))]
    return { nearest, active, inWidths: (distance: number) => inWidthsOf(distance, value) }
  }

  /** Advances by a sample; undefined for one that is counted but not remembered. */
  function visit(value: number | undefined): void {
    if (value !== undefined) {
      const { nearest, inWidths } = look(value)
      if (nearest === undefined || inWidths(Math.abs(nearest.value - value)) > newAbove) {
        const visits = list.map(other => other?.visited ?? 0)
        list[visits.indexOf(Math.min(...visits))] = { value, visited: number }
      } else {
        nearest.visited = number
      }
      if (nearest === undefined) {
        low = value
        high = value
      } else {
        const shrunk = ((high - low) * 1e-4) / 2
        low = Math.min(low + shrunk, value)
        high = Math.max(high - shrunk, value)
      }
    }
    number++
  }

  return { look, visit }
}

/** Returns a series with new levels, a return after thousands of samples, and some jumps. */
export function wavering(length: number): number[] {
  const ends = [0, 3, 0, -4, 1]
  return Array.from({ length }, (_, n) => {
    const level = ends[Math.floor(n / 2900) % ends.length] ?? 0
    const jump = n % 1013 === 7 ? ((n % 17) - 8) * 1.5 : 0
    return level + Math.sin(n * 0.37) * (1 + 0.5 * Math.sin(n / 700)) + jump
  })
}
