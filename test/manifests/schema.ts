import { execFileSync } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import { nameOf } from './manifest.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const CHECK_LIMIT_MS = 120_000

/** The packages with the schemas, by API group. The default is that of Kubernetes itself. */
const PACKAGES: Readonly<Record<string, string>> = {
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
  'keda.sh': '@kubernetes-models/keda',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
}

function moduleOf({ apiVersion }: Manifest): string {
  const group = apiVersion.split('/')[0] ?? ''
  return `${PACKAGES[group] ?? 'kubernetes-models'}/${apiVersion}`
}

/** Returns violations of the schemas: wrong types, wrong values and missing fields. */
export async function schemaFaults(manifests: readonly Manifest[]): Promise<string[]> {
  const faults: string[] = []
  for (const manifest of manifests) {
    const models = (await import(moduleOf(manifest))) as Record<string, new (data: Manifest) => { validate(): void }>
    const Model = models[manifest.kind]
    if (Model === undefined) faults.push(`${nameOf(manifest)}: ${manifest.apiVersion} has no such kind`)
    else {
      try {
        new Model(manifest).validate()
      } catch (error) {
        faults.push(`${nameOf(manifest)}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }
  return faults
}

/**
 * Returns unknown fields, which those schemas and a cluster silently ignore. The compiler does not:
 * each manifest becomes a literal of its type. One run of the compiler checks all builds.
 */
export function unknownFields(builds: ReadonlyMap<string, readonly Manifest[]>): Map<string, string[]> {
  const lines: string[] = []
  const sources: { build: string; manifest: Manifest }[] = []
  for (const [build, manifests] of builds) {
    for (const manifest of manifests) {
      const index = sources.push({ build, manifest }) - 1
      const type = `import('${moduleOf(manifest)}').I${manifest.kind}`
      // One line per manifest, so that the line number identifies it.
      lines.push(`export const m${index}: ${type} = ${JSON.stringify(manifest)}`)
    }
  }
  const found = new Map([...builds.keys()].map(build => [build, [] as string[]]))
  for (const { line, message } of compile(lines.join('\n'))) {
    const source = sources[line - 1]
    if (source === undefined) throw new Error(message)
    found.get(source.build)?.push(`${nameOf(source.manifest)}: ${message}`)
  }
  return found
}

function compile(text: string): { line: number; message: string }[] {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tidemark-schema-')))
  try {
    symlinkSync(join(ROOT, 'test', 'node_modules'), join(folder, 'node_modules'))
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    writeFileSync(join(folder, 'manifests.ts'), text)
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--pretty', 'false', '--module', 'nodenext']
    try {
      execFileSync(join(ROOT, 'node_modules', '.bin', 'tsc'), [...options, 'manifests.ts'], {
        cwd: folder,
        encoding: 'utf8',
        timeout: CHECK_LIMIT_MS,
        stdio: ['ignore', 'pipe', 'pipe'],
        // The compiler is started by a shim that needs Node on PATH.
        env: { ...process.env, PATH: `${join(ROOT, 'node_modules', '.bin')}:${process.env.PATH}` },
      })
      return []
    } catch (error) {
      const output = error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
      const found = [...output.matchAll(/^manifests\.ts\((\d+),\d+\): error \w+: (.*(?:\n .*)*)/gm)]
      if (found.length === 0) throw error
      return found.map(([, line, message = '']) => ({ line: Number(line), message }))
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
