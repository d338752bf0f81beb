import { describe, expect, test } from 'vitest'
import { DECIMAL } from './decimal.ts'

describe('a decimal number', () => {
  test.each(['0', '21.5', '-3', '+7', '.5', '5.', '1e3', '1.e-3', '007'])('%j is one', text => {
    expect(DECIMAL.test(text)).toBe(true)
  })

  test.each(['', '.', '-', 'e3', '1e', '1,5', ' 1', '1 ', '0x1f', 'NaN', '1.2.3', '1_000'])('%j is none', text => {
    expect(DECIMAL.test(text)).toBe(false)
  })

  test.each(['1', '1.', '.1', '1e1'])('a mebibyte that begins with %j takes linear time', text => {
    const start = performance.now()
    expect(DECIMAL.test(`${text}${'1'.repeat(1 << 20)}x`)).toBe(false)
    // Quadratic would be half an hour.
    expect(performance.now() - start).toBeLessThan(1000)
  })
})
