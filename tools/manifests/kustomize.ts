import { execFileSync } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import { findKubectl } from '../lib/kubectl.ts'
import { ROOT } from '../lib/project.ts'

const BUILD_LIMIT_MS = 60_000

export const K8S = join(ROOT, 'k8s')

/** The kubectl that builds; undefined if none is installed. */
export const kubectl = findKubectl()

/** The fields of every object. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
  }
}

/** Builds a folder of k8s/. */
export function build(folder: string): Manifest[] {
  return kustomize(join(K8S, folder))
}

/** Builds the base with these components. */
export function buildWith(components: readonly string[]): Manifest[] {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tidemark-manifests-')))
  try {
    const within = (...parts: string[]): string => relative(folder, join(realpathSync(K8S), ...parts))
    const kustomization = {
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: [within('base')],
      components: components.map(component => within('components', component)),
    }
    writeFileSync(join(folder, 'kustomization.yaml'), stringify(kustomization))
    return kustomize(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function kustomize(folder: string): Manifest[] {
  if (kubectl === undefined) throw new Error('no kubectl with kustomize 5 or newer: install one')
  const text = execFileSync(kubectl, ['kustomize', folder], {
    encoding: 'utf8',
    timeout: BUILD_LIMIT_MS,
    maxBuffer: 64 * 2 ** 20,
  })
  return parseAllDocuments(text).map(document => {
    if (document.errors[0] !== undefined) throw document.errors[0]
    return document.toJS() as Manifest
  })
}
