import type { Manifest } from '@tidemark/tools/manifests/kustomize'

/** A rule that every build must obey. */
export interface Policy {
  readonly title: string
  /** Returns messages that name the object and its fault. */
  readonly faults: (manifests: readonly Manifest[]) => string[]
}
