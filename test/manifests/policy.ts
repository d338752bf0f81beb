import type { Manifest } from './manifest.ts'

/** A rule of our own that every build keeps. */
export interface Policy {
  readonly title: string
  /** Sentences that name the object and what is wrong with it. */
  readonly faults: (manifests: readonly Manifest[]) => string[]
}
