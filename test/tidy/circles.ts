/**
 * Imports between the children of one folder: from each child to the others, with one import as the
 * proof.
 */
export type Level = ReadonlyMap<string, ReadonlyMap<string, string>>

/**
 * Imports as arrows between the children of each folder. The children are its files and its
 * subfolders; an import of a file deep in one subfolder by a file deep in another is an arrow
 * between these two subfolders, at the folder in which their paths part.
 */
export function levelsOf(importsOf: ReadonlyMap<string, readonly string[]>): Map<string, Level> {
  const levels = new Map<string, Map<string, Map<string, string>>>()
  for (const [file, imports] of importsOf) {
    for (const target of imports) {
      if (!importsOf.has(target) || target === file) continue
      const from = file.split('/')
      const to = target.split('/')
      let depth = 0
      while (from[depth] === to[depth]) depth++
      const level = entry(levels, from.slice(0, depth).join('/') || '.', () => new Map())
      const arrows = entry(level, from[depth] ?? '', () => new Map<string, string>())
      entry(arrows, to[depth] ?? '', () => `${file} imports ${target}`)
    }
  }
  return levels
}

/**
 * The circles of each folder, each as its arrows with their proofs. Empty when imports only point
 * one way. One circle is named for each child that lies on one, which is enough to find them all.
 */
export function circlesOf(importsOf: ReadonlyMap<string, readonly string[]>): string[][] {
  const found = new Map<string, string[]>()
  for (const [folder, level] of levelsOf(importsOf)) {
    for (const child of level.keys()) {
      const circle = shortestCircle(level, child)
      if (circle === undefined) continue
      const proofs = circle.map((from, i) => level.get(from)?.get(circle[(i + 1) % circle.length] ?? '') ?? '')
      const id = `${folder}: ${circle.toSorted().join(' ')}`
      if (!found.has(id)) found.set(id, [`in ${folder}`, ...proofs])
    }
  }
  return [...found.values()]
}

/** The fewest children by which one can walk from `start` along arrows and back to it. */
function shortestCircle(level: Level, start: string): string[] | undefined {
  const before = new Map<string, string>()
  const queue = [start]
  for (const child of queue) {
    for (const next of level.get(child)?.keys() ?? []) {
      if (next === start) {
        const circle = [child]
        while (circle[0] !== start) circle.unshift(before.get(circle[0] ?? '') ?? start)
        return circle
      }
      if (before.has(next)) continue
      before.set(next, child)
      queue.push(next)
    }
  }
  return undefined
}

function entry<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const created = create()
  map.set(key, created)
  return created
}
