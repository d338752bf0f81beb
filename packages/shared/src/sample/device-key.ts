/** A slash; a percent sign only where it would look like an escape. */
const ESCAPED = /\/|%(?=2F|25)/g

/**
 * Returns the beginning of the keys of a device's metrics: `edge-17/`. The first slash of a key
 * ends the device, so its own slashes become %2F: the device `a/b` with the metric `c` and the
 * device `a` with the metric `b/c` would be one key. Names of metrics are kept as they are.
 */
export function devicePrefix(device: string): string {
  const isPlain = !device.includes('/') && !device.includes('%')
  return `${isPlain ? device : device.replaceAll(ESCAPED, match => (match === '/' ? '%2F' : '%25'))}/`
}

/** Undoes what `devicePrefix` does to the slashes of a device. */
export function decodeDevice(device: string): string {
  return device.replaceAll(/%2F|%25/g, match => (match === '%2F' ? '/' : '%'))
}
