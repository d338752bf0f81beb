import { createHash } from 'node:crypto'
import { z } from 'zod'

const dependencies = z.record(z.string(), z.string()).optional()
const imported = z.record(z.string(), z.object({ version: z.string() })).optional()

/** What is read of pnpm-lock.yaml. */
export const lockSchema = z.object({
  importers: z.record(z.string(), z.object({ dependencies: imported })),
  packages: z.record(z.string(), z.object({ resolution: z.object({ integrity: z.string().optional() }) })),
  snapshots: z.record(z.string(), z.object({ dependencies, optionalDependencies: dependencies })),
})

export type Lock = z.output<typeof lockSchema>

interface Release {
  readonly version: string
  readonly revision: string
  /** Of the commit, so that equal sources have equal lists. ISO 8601. */
  readonly time: string
  /** The workspaces that are deployed, such as packages/gateway. */
  readonly roots: readonly string[]
}

/** Returns the list of everything that the images contain, in the form of CycloneDX 1.6. */
export function createSbom(lock: Lock, { version, revision, time, roots }: Release) {
  const found = deployedPackages(lock, roots)
  const names = [...found.keys()].toSorted()
  const root = { type: 'application', 'bom-ref': 'tidemark', name: 'tidemark', version }
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(`${version} ${revision} ${names.join()}`)}`,
    version: 1,
    metadata: {
      timestamp: time,
      component: { ...root, properties: [{ name: 'vcs:revision', value: revision }] },
    },
    components: names.map(name => componentOf(name, lock.packages[name]?.resolution.integrity)),
    dependencies: [
      { ref: 'tidemark', dependsOn: names.map(purlOf) },
      ...names.map(name => ({ ref: purlOf(name), dependsOn: (found.get(name) ?? []).toSorted().map(purlOf) })),
    ],
  }
}

/** By name and version, what each package depends on: all that `roots` need when they run. */
function deployedPackages({ importers, snapshots }: Lock, roots: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  const workspaces = new Set<string>()

  /** Visits a package as its dependents name it, with its peers: `a@1.0.0(b@2.0.0)`. */
  function visit(snapshot: string): string {
    const name = withoutPeers(snapshot)
    const known = found.get(name)
    if (known !== undefined) return name
    const below: string[] = []
    found.set(name, below)
    const { dependencies = {}, optionalDependencies = {} } = snapshots[snapshot] ?? {}
    for (const [dependency, version] of Object.entries({ ...dependencies, ...optionalDependencies })) {
      below.push(visit(snapshotOf(dependency, version)))
    }
    return name
  }

  function visitWorkspace(folder: string): void {
    if (workspaces.has(folder)) return
    workspaces.add(folder)
    for (const [name, { version }] of Object.entries(importers[folder]?.dependencies ?? {})) {
      const link = /^link:\.\.\/(.*)$/.exec(version)?.[1]
      if (link === undefined) visit(snapshotOf(name, version))
      else visitWorkspace(`packages/${link}`)
    }
  }
  for (const root of roots) visitWorkspace(root)
  return found
}

/** An alias is stored as the name and version that it stands for. */
function snapshotOf(name: string, version: string): string {
  return /^@?[^(]+@/.test(version) ? version : `${name}@${version}`
}

function withoutPeers(snapshot: string): string {
  return snapshot.replace(/\(.*$/, '')
}

function purlOf(name: string): string {
  const at = name.lastIndexOf('@')
  return `pkg:npm/${name.slice(0, at).replace('@', '%40')}@${name.slice(at + 1)}`
}

function componentOf(name: string, integrity: string | undefined) {
  const at = name.lastIndexOf('@')
  const [algorithm, digest] = integrity?.split('-') ?? []
  return {
    type: 'library',
    'bom-ref': purlOf(name),
    name: name.slice(0, at),
    version: name.slice(at + 1),
    purl: purlOf(name),
    ...(algorithm === 'sha512' && {
      hashes: [{ alg: 'SHA-512', content: Buffer.from(digest ?? '', 'base64').toString('hex') }],
    }),
  }
}

function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
