import { existsSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Child } from './child.ts'

async function start(script: string) {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-'))
  const child = new Child({ name: 'it', file: 'sh', args: ['-c', script], env: process.env, folder })
  const said = new Promise<string>(resolve => child.onLine(resolve))
  return { child, folder, said }
}

describe('a child', () => {
  test('that ends by itself reports its code and its last lines, and its folder is removed', async () => {
    const { child, folder } = await start('echo out; echo err >&2; exit 3')
    expect(await child.exited).toEqual({ code: 3 })
    expect([...child.lines].toSorted()).toEqual(['err', 'out'])
    expect(existsSync(folder)).toBe(false)
  })

  test('is stopped with SIGTERM and has time to clean up', async () => {
    const { child, folder, said } = await start('trap "echo bye; exit 5" TERM; echo up; while :; do sleep 0.01; done')
    expect(await said).toBe('up')
    await child.stop()
    expect(await child.exited).toEqual({ code: 5 })
    expect(child.lines).toEqual(['up', 'bye'])
    expect(existsSync(folder)).toBe(false)
  })

  test('can be killed at once even if it ignores SIGTERM', async () => {
    const { child, folder, said } = await start('trap "" TERM; echo up; while :; do sleep 0.01; done')
    await said
    child.kill()
    expect(await child.exited).toEqual({ code: 137 })
    expect(existsSync(folder)).toBe(false)
  })

  test('that cannot be run ends with 127 and a message', async () => {
    const child = new Child({ name: 'it', file: 'no-such-program-here', args: [], env: process.env })
    expect(await child.exited).toEqual({ code: 127 })
    expect(child.lines.join()).toContain('not found')
  })

  test('is ready at the line that is waited for', async () => {
    const { child } = await start('echo one; echo two; while :; do sleep 0.01; done')
    await child.ready(line => line === 'two', 10_000)
    expect(child.lines.slice(0, 2)).toEqual(['one', 'two'])
    await child.stop()
  })

  test('that ends or takes too long is not ready, with its last lines as the reason', async () => {
    const ended = (await start('echo broken; exit 1')).child
    await expect(ended.ready(() => false, 10_000)).rejects.toThrow('it did not start:\nbroken')
    const slow = (await start('while :; do sleep 0.01; done')).child
    await expect(slow.ready(() => false, 50)).rejects.toThrow('it did not start')
    expect(await slow.exited).toEqual({ code: 137 })
  })
})
