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
  test('that ends by itself hands on its code and its last words, and its folder is gone', async () => {
    const { child, folder } = await start('echo out; echo err >&2; exit 3')
    expect(await child.exited).toEqual({ code: 3 })
    expect([...child.lines].toSorted()).toEqual(['err', 'out'])
    expect(existsSync(folder)).toBe(false)
  })

  test('is stopped by SIGTERM and may take its time', async () => {
    const { child, folder, said } = await start('trap "echo bye; exit 5" TERM; echo up; while :; do sleep 0.01; done')
    expect(await said).toBe('up')
    await child.stop()
    expect(await child.exited).toEqual({ code: 5 })
    expect(child.lines).toEqual(['up', 'bye'])
    expect(existsSync(folder)).toBe(false)
  })

  test('can be ended at once, whatever it does about SIGTERM', async () => {
    const { child, folder, said } = await start('trap "" TERM; echo up; while :; do sleep 0.01; done')
    await said
    child.kill()
    expect(await child.exited).toEqual({ code: 137 })
    expect(existsSync(folder)).toBe(false)
  })

  test('that cannot be run says so', async () => {
    const child = new Child({ name: 'it', file: 'no-such-program-here', args: [], env: process.env })
    expect(await child.exited).toEqual({ code: 127 })
    expect(child.lines.join()).toContain('not found')
  })
})
