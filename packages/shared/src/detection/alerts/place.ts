import { decodeDevice } from '../../sample/device-key.ts'

/** A place that several keys may have in common: a device, or a level above it. */
export interface Place {
  /** Unique among all places. */
  readonly id: string
  /** What people call it. */
  readonly name: string
  /** What all keys of the place begin with; null if it is a label of them. */
  readonly prefix: string | null
}

/** Deeper levels of a key do not count: no fleet has so many, and a key may consist of slashes. */
const LEVELS_MAX = 8

/** A name and its labels, as in `cpu_usage{host=a,core=0}`, before any slash. */
const LABELLED = /^([^/{]+)\{(.*)\}$/s

/** Labels that name a device, the most specific first. */
const DEVICE_LABELS = ['device', 'host', 'hostname', 'instance', 'pod', 'node']

/** A part of such labels: `name=value`, the value perhaps in quotes. */
const LABEL = /([\w.-]+)=(?:"((?:[^"\\]|\\.)*)"|([^,]*))(?:,\s*|$)/gy

/**
 * Returns the places of a key, the outermost first. The last one is its device, unless a place
 * further out has metrics of its own. Keys are `device/metric`, `region/device/metric`,
 * `device:metric`, `site.device.metric` or `metric{host=device}`; any other key is a place itself.
 */
export function placesOf(key: string): Place[] {
  const [, metric, labels] = LABELLED.exec(key) ?? []
  if (metric !== undefined && labels !== undefined) return placesOfLabels(metric, labels)
  const separator = ['/', ':', '.'].find(one => key.includes(one, 1))
  const places: Place[] = []
  // A separator at the start or the end of a key separates nothing.
  for (let at = endOf(key, separator, 0); at > 0 && places.length < LEVELS_MAX; at = endOf(key, separator, at)) {
    const prefix = key.slice(0, at)
    places.push({ id: prefix, name: decodeDevice(prefix.slice(0, -1)), prefix })
  }
  return places.length > 0 ? places : [{ id: `\0${key}`, name: key, prefix: key }]
}

function placesOfLabels(metric: string, text: string): Place[] {
  const labels = new Map([...text.matchAll(LABEL)].map(([, name = '', quoted, plain = '']) => [name, quoted ?? plain]))
  const name = DEVICE_LABELS.find(one => (labels.get(one) ?? '') !== '')
  const prefix = `${metric}{`
  const ofMetric: Place = { id: prefix, name: metric, prefix }
  if (name === undefined) return [ofMetric]
  const value = labels.get(name) ?? ''
  return [ofMetric, { id: `{${name}=${value}`, name: `${name}=${value}`, prefix: null }]
}

/** Returns where the next part of a key ends, its separator included; 0 for the last part. */
function endOf(key: string, separator: string | undefined, start: number): number {
  const at = separator === undefined ? -1 : key.indexOf(separator, start + 1)
  return at === key.length - 1 ? 0 : at + 1
}

/** The device of a key, as far as the key alone says; a key that names none is a device itself. */
export function deviceOf(key: string): string {
  return placesOf(key).at(-1)?.name ?? key
}
