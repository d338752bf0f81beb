import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseHeaders, SinkHeaders } from './headers.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-headers-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('the headers of the sink', () => {
  test('are lines of a file', () => {
    const text = '# Mimir\nAuthorization: Basic dTpw\r\n\nX-Scope-OrgID:  team 1  \n'
    expect(parseHeaders(text)).toEqual({ Authorization: 'Basic dTpw', 'X-Scope-OrgID': 'team 1' })
    expect(parseHeaders('')).toEqual({})
  })

  test.each([
    ['Bearer abc', 'has no header in line 1: write "Name: value"'],
    ['A: b\nAuthorization:', 'has no header in line 2'],
    ['A: \u0001', 'has no header in line 1'],
    ['Content-Type: text/plain', 'sets Content-Type in line 1, which the sink sets itself'],
  ])('%j is refused without quoting it', (text, reason) => {
    expect(() => parseHeaders(text)).toThrow(reason)
    expect(() => parseHeaders(text)).not.toThrow('abc')
  })

  test('follow the file; while it is unusable, those from before apply', async () => {
    const path = join(folder, 'headers')
    const headers = new SinkHeaders(path)
    const faults: string[] = []
    const current = () => headers.current(({ message }) => faults.push(message))
    await expect(current()).rejects.toThrow(`SINK_HEADERS_FILE: ${path} cannot be read (ENOENT)`)
    await writeFile(path, 'Authorization: Bearer one')
    expect(await current()).toEqual({ Authorization: 'Bearer one' })
    expect(headers.secrets).toContain('one')
    await writeFile(path, 'Authorization: Bearer second')
    expect(await current()).toEqual({ Authorization: 'Bearer second' })
    expect(headers.secrets).not.toContain('one')
    await rm(path)
    expect(await current()).toEqual({ Authorization: 'Bearer second' })
    expect(faults).toEqual([`SINK_HEADERS_FILE: ${path} cannot be read (ENOENT)`])
  })

  test('are none without a file', async () => {
    expect(await new SinkHeaders(undefined).current(() => {})).toEqual({})
  })
})
