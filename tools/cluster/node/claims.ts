import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cluster, KubeObject } from '../kube.ts'
import { NotReady } from './pod.ts'

interface Claim extends KubeObject {
  readonly spec: {
    readonly accessModes?: readonly string[]
    readonly storageClassName?: string
    readonly volumeName?: string
    readonly resources?: { readonly requests?: { readonly storage?: string } }
  }
}

interface Volume extends KubeObject {
  readonly spec: { readonly hostPath?: { readonly path: string } }
}

const CLASS = 'tidemark-folder'
const PROVISIONER = 'tidemark.example.com/folder'

/** Provides a folder of this computer for each claim: the default StorageClass of the cluster. */
export class Claims {
  readonly #cluster: Cluster
  readonly #folder: string

  constructor(cluster: Cluster, folder: string) {
    this.#cluster = cluster
    this.#folder = folder
  }

  async run(stop: AbortSignal): Promise<void> {
    await this.#cluster.apply(
      `/apis/storage.k8s.io/v1/storageclasses/${CLASS}`,
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: CLASS, annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
        provisioner: PROVISIONER,
        reclaimPolicy: 'Delete',
      },
      'tidemark-node',
    )
    const provide = (claim: Claim): void => void this.#provide(claim).catch(reportError)
    const watcher = { onList: (claims: readonly Claim[]) => claims.forEach(provide), onChange: provide, onDelete() {} }
    await this.#cluster.watch<Claim>('/api/v1/persistentvolumeclaims', watcher, stop)
  }

  /** Returns the folder of a bound claim. */
  async folderOf(namespace: string, name: string): Promise<string> {
    const claim = await this.#cluster.find<Claim>(`/api/v1/namespaces/${namespace}/persistentvolumeclaims/${name}`)
    const volumeName = claim?.spec.volumeName
    const volume =
      volumeName === undefined ? undefined : await this.#cluster.find<Volume>(`/api/v1/persistentvolumes/${volumeName}`)
    const path = volume?.spec.hostPath?.path
    if (path === undefined) throw new NotReady('ContainerCreating', `the claim ${name} is not bound to a folder`)
    return path
  }

  async #provide(claim: Claim): Promise<void> {
    const { metadata, spec } = claim
    if (spec.storageClassName !== CLASS || spec.volumeName !== undefined) return
    const name = `pvc-${metadata.uid}`
    const path = join(this.#folder, name)
    await mkdir(path, { recursive: true, mode: 0o700 })
    const { namespace, uid } = metadata
    await this.#cluster.apply(
      `/api/v1/persistentvolumes/${name}`,
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name },
        spec: {
          accessModes: spec.accessModes,
          capacity: { storage: spec.resources?.requests?.storage },
          storageClassName: CLASS,
          // No controller deletes the folder: it ends with this program.
          persistentVolumeReclaimPolicy: 'Retain',
          hostPath: { path },
          claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: metadata.name, namespace, uid },
        },
      },
      'tidemark-node',
    )
  }
}

function reportError(error: Error): void {
  process.stderr.write(`tidemark: no volume for a claim: ${error.message}\n`)
}
