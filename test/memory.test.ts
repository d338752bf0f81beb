import { redisAvailable } from '@tidemark/testkit/redis-fixture'
import { expect, test } from 'vitest'
import { changeWindows } from './memory/change-windows.ts'

const MIB = 1024 * 1024

/** `npm run memory` does the same with 200,000 keys in a cgroup with the manifest's limit. */
test.skipIf(!(await redisAvailable()))(
  'a rule that makes the windows of all keys ten times as large does not exceed the memory for windows',
  async () => {
    const keys = 20_000
    const windowsBytesMax = 16 * MIB
    const { phases, wrongKeys } = await changeWindows({ keys, windowsBytesMax, limit: undefined })
    for (const phase of phases) expect(phase.windowsBytes).toBeLessThanOrEqual(windowsBytesMax)
    expect(phases[1]?.evicted).toBeGreaterThan(keys)
    // All of them at once would be 160 MiB.
    expect(phases[2]?.windows).toBeLessThan(2100)
    expect(phases[2]?.windows).toBeGreaterThan(1000)
    expect(wrongKeys).toBe(0)
  },
)
