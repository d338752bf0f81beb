/** As much of a `.cpuprofile` (Chrome DevTools Protocol, Profiler.Profile) as a flame graph is made of. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: readonly number[]
  }[]
  /** Ids of nodes, and the microseconds since the sample before. */
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** One box: a function as it was called from those above it. */
export interface Frame {
  readonly name: string
  readonly kind: Kind
  /** Microseconds in it and in what it called. */
  total: number
  readonly children: Map<string, Frame>
}

type Kind = 'own' | 'dependency' | 'node' | 'gc' | 'root'

const COLOURS: Readonly<Record<Kind, string>> = {
  own: '#7fa8d9',
  dependency: '#f2b872',
  node: '#d5d2cb',
  gc: '#e58a86',
  root: '#eeeeee',
}
const LEGEND = { own: 'Tidemark', dependency: 'dependencies', node: 'Node', gc: 'garbage collection' } as const

/** Time in which nothing ran, or the process was stopped: it says nothing about the code. */
const NOT_WORK = new Set(['(idle)', '(program)'])

/** Samples are a millisecond apart: after so many microseconds without one the process had been stopped. */
const STOPPED_US = 200_000

/** Loading the program: it is done once. */
const LOADER = 'node:internal/modules'

const WIDTH = 1200
const ROW = 17
const HEAD = 44
const CHARACTER = 6.4
/** A box narrower than this share of all is left out. */
const SHARE_MIN = 0.002

/** Adds up a profile's samples by the stack that they were taken in. */
export function stacksOf({ nodes, samples, timeDeltas }: CpuProfile): Frame {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id] as const)))
  const selfs = new Map<number, number>()
  samples.forEach((id, i) => {
    const time = timeDeltas[i] ?? 0
    if (time < STOPPED_US) selfs.set(id, (selfs.get(id) ?? 0) + time)
  })
  const root = frame('all', 'root')
  for (const [id, time] of selfs) {
    if (NOT_WORK.has(byId.get(id)?.callFrame.functionName ?? '')) continue
    const stack: number[] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) stack.unshift(at)
    if (stack.some(at => byId.get(at)?.callFrame.url.startsWith(LOADER))) continue
    root.total += time
    let current = root
    // The first is the profile's own root.
    for (const at of stack.slice(1)) {
      const called = byId.get(at)?.callFrame
      if (called === undefined) continue
      const { name, kind } = describe(called)
      const known = current.children.get(name) ?? frame(name, kind)
      current.children.set(name, known)
      known.total += time
      current = known
    }
  }
  return root
}

function frame(name: string, kind: Kind): Frame {
  return { name, kind, total: 0, children: new Map() }
}

/** What a function is called, without where on this computer its file lies. */
function describe({ functionName, url }: CpuProfile['nodes'][number]['callFrame']): { name: string; kind: Kind } {
  const name = functionName === '' ? '(anonymous)' : functionName
  if (name === '(garbage collector)') return { name: 'garbage collection', kind: 'gc' }
  const dependency = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1]
  if (dependency !== undefined) return { name: `${name} ${dependency}`, kind: 'dependency' }
  const own = /packages\/(?:[^/]+)\/src\/(.*)$/.exec(url)?.[1]
  if (own !== undefined) return { name: `${name} ${own}`, kind: 'own' }
  return { name: url === '' ? name : `${name} ${url.replace(/^node:internal\//, 'node:')}`, kind: 'node' }
}

/** Draws stacks from the top down; the wider a box, the more time. Its title tells its share. */
export function drawFlame(root: Frame, title: string): string {
  const boxes: string[] = []
  let depth = 0
  const draw = (one: Frame, x: number, level: number): void => {
    const width = (one.total / root.total) * WIDTH
    if (one.total < root.total * SHARE_MIN) return
    depth = Math.max(depth, level)
    const share = `${((100 * one.total) / root.total).toFixed(1)} %`
    const y = HEAD + ROW * level
    const shown = one.name.slice(0, Math.max(0, Math.floor((width - 6) / CHARACTER)))
    const text = shown.length < 3 ? '' : `<text x="${(x + 3).toFixed(1)}" y="${y + 12}">${escaped(shown)}</text>`
    boxes.push(
      `<g><title>${escaped(one.name)}: ${share}</title>` +
        `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${COLOURS[one.kind]}"/>${text}</g>`,
    )
    let next = x
    for (const child of [...one.children.values()].sort((a, b) => b.total - a.total)) {
      draw(child, next, level + 1)
      next += (child.total / root.total) * WIDTH
    }
  }
  draw(root, 0, 0)
  const legend = Object.entries(LEGEND).map(
    ([kind, name], i) =>
      `<rect x="${600 + 140 * i}" y="12" width="12" height="12" fill="${COLOURS[kind as Kind]}"/>` +
      `<text x="${617 + 140 * i}" y="22">${name}</text>`,
  )
  const height = HEAD + ROW * (depth + 1) + 6
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="DejaVu Sans Mono, monospace" font-size="10.5">\n<title>${escaped(title)}</title>\n` +
    `<rect width="${WIDTH}" height="${height}" fill="white"/>\n<text x="3" y="22" font-size="13">${escaped(title)}</text>\n` +
    `${legend.join('\n')}\n${boxes.join('\n')}\n</svg>\n`
  )
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
