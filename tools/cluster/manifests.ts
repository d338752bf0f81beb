import { realpath, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import { ROOT, temporaryFolder } from '../lib/project.ts'
import type { Cluster, KubeObject } from './kube.ts'

/** An object of a manifest. */
export interface Manifest extends KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly spec?: Readonly<Record<string, unknown>>
}

/** Builds a kustomization. */
export async function buildManifests(cluster: Cluster, folder: string): Promise<readonly Manifest[]> {
  const text = await cluster.kubectl(['kustomize', folder])
  return parseAllDocuments(text).map(document => document.toJS() as Manifest)
}

/** Builds a component of k8s/ alone. */
export async function buildComponent(cluster: Cluster, name: string): Promise<readonly Manifest[]> {
  await using folder = await temporaryFolder('kustomize')
  const here = await realpath(folder.path)
  const component = relative(here, join(await realpath(ROOT), 'k8s', 'components', name))
  const header = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' }
  await writeFile(join(here, 'kustomization.yaml'), stringify({ ...header, components: [component] }))
  return await buildManifests(cluster, here)
}

/** Applies objects by server-side apply; a field that the API server does not know is an error. */
export async function applyManifests(cluster: Cluster, manifests: readonly object[]): Promise<void> {
  const flags = ['--server-side', '--force-conflicts', '--validate=strict', '--field-manager=tidemark-cluster']
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests })
  await cluster.kubectl(['apply', ...flags, '-f', '-'], { input })
}

/** Returns the kinds of a kustomization that a cluster does not serve, such as missing CRDs. */
export function missingKinds(manifests: readonly Manifest[], served: ReadonlySet<string>): readonly string[] {
  const wanted = new Set(manifests.map(({ apiVersion, kind }) => `${kind} (${apiVersion})`))
  return [...wanted].filter(kind => !served.has(kind)).sort()
}

/** Returns every image that the pods of a kustomization use. */
export function imagesOf(manifests: readonly Manifest[]): readonly string[] {
  const images = [...JSON.stringify(manifests).matchAll(/"image":"([^"]+)"/g)].map(([, image = '']) => image)
  return [...new Set(images)].sort()
}
