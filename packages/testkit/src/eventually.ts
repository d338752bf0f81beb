import { vi } from 'vitest'

/** Only a fault lasts so long: a machine a tenth as fast as usual needs seconds. */
const GIVEN_UP_AFTER_MS = 100_000

/**
 * Repeats `check` until it does not throw, and resolves to what it returns. A test waits with it
 * for conditions, never for a time: its result must not depend on the speed of the machine.
 */
export function eventually<T>(check: () => T | Promise<T>, timeoutMs = GIVEN_UP_AFTER_MS): Promise<T> {
  return vi.waitFor(check, { timeout: timeoutMs, interval: 20 })
}
