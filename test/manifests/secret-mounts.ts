import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import type { kubernetesSecrets } from '@tidemark/tools/secrets/kubernetes'
import { workloads } from './manifest.ts'

interface MountOptions {
  readonly secrets: ReturnType<typeof kubernetesSecrets>
  /** Stands in for the root of the container's files. */
  readonly folder: string
}

interface SecretSource {
  readonly name: string
  readonly items?: readonly { readonly key: string; readonly path: string }[] | undefined
  readonly optional?: boolean | undefined
}

/**
 * Writes the Secrets that a workload mounts into a folder of its own. Returns a function that
 * returns where a mounted path is in there, and any other text as it is.
 */
export function mountSecrets(manifests: readonly Manifest[], workload: string, { secrets, folder }: MountOptions) {
  const pod = workloads(manifests).find(({ name }) => name === workload)?.template.spec
  const root = join(folder, workload)
  const mounts = pod?.containers[0]?.volumeMounts ?? []
  for (const { name, mountPath } of mounts) {
    const { secret, projected } = pod?.volumes?.find(volume => volume.name === name) ?? {}
    const sources: SecretSource[] = [
      ...(secret === undefined ? [] : [{ ...secret, name: secret.secretName ?? '' }]),
      ...(projected?.sources ?? []).flatMap(({ secret }) =>
        secret === undefined ? [] : [{ ...secret, name: secret.name ?? '' }],
      ),
    ]
    for (const source of sources) write(secrets, source, join(root, mountPath))
  }
  return (text: string): string =>
    mounts.some(({ mountPath }) => text.startsWith(`${mountPath}/`)) ? join(root, text) : text
}

function write({ items: all }: MountOptions['secrets'], { name, items, optional = false }: SecretSource, to: string) {
  const data: Readonly<Record<string, string>> | undefined = all.find(
    ({ metadata }) => metadata.name === name,
  )?.stringData
  if (data === undefined && !optional) throw new Error(`npm run secrets makes no Secret ${name}`)
  for (const { key, path } of items ?? Object.keys(data ?? {}).map(key => ({ key, path: key }))) {
    const text = data?.[key]
    if (text === undefined) throw new Error(`the Secret ${name} has no ${key}`)
    mkdirSync(dirname(join(to, path)), { recursive: true })
    writeFileSync(join(to, path), text)
  }
}
