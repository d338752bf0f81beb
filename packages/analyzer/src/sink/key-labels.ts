import { decodeDevice } from '@tidemark/shared/sample/device-key'
import type { KeyTemplate, Labels } from '@tidemark/shared/sample/key-template'
import { KEY_LABEL } from '../config.ts'

export interface KeyLabelOptions {
  /** Undefined: a key is a device and a metric. */
  readonly template: KeyTemplate | undefined
  /** The labels of all series. */
  readonly added: Labels
}

/**
 * Returns the labels of a key's series, sorted by name as remote write requires. No name occurs
 * twice: of two parts of a key with one name as a label, the first counts.
 */
export function labelsOf(key: string, { template, added }: KeyLabelOptions): Labels {
  const labels = new Map([[KEY_LABEL, key], ...added])
  for (const [name, value] of template === undefined ? partsOf(key) : (template.read(key)?.labels ?? [])) {
    const label = labelName(name)
    if (value !== '' && !labels.has(label)) labels.set(label, value)
  }
  return [...labels].sort(([a], [b]) => (a < b ? -1 : 1))
}

function partsOf(key: string): Labels {
  const slash = key.indexOf('/')
  if (slash === -1) return []
  return [
    ['device', decodeDevice(key.slice(0, slash))],
    ['metric', key.slice(slash + 1)],
  ]
}

/**
 * Makes a name that labels may have: `service.name` becomes `service_name`. Those that begin with
 * two underscores are Prometheus' own, and `key` is the whole key.
 */
function labelName(name: string): string {
  const legal = name
    .replace(/^__name__$/, 'metric')
    .replaceAll(/[^A-Za-z0-9_]/g, '_')
    .replace(/^_{2,}/, '_')
  const begun = /^\d/.test(legal) ? `_${legal}` : legal
  return begun === KEY_LABEL ? `exported_${KEY_LABEL}` : begun
}
