import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { K8S, kubectl } from '@tidemark/tools/manifests/kustomize'

/** False only if the tests may be skipped because there is no kubectl. */
export function canBuild(): boolean {
  return kubectl !== undefined || process.env.CI === 'true'
}

export function foldersOf(kind: 'components' | 'overlays'): string[] {
  return readdirSync(join(K8S, kind)).sort()
}
