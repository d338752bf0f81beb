import { describe, expect, test } from 'vitest'
import { PAGE_CSP } from '../src/http/assets.ts'
import { createTestApp } from './support/fixture.ts'

const BROTLI = new Uint8Array([1, 2, 3])
const FILES = new Map([
  ['index.html', { body: '<!doctype html>', type: 'text/html; charset=utf-8' }],
  ['main-3f.js', { body: 'start()', type: 'text/javascript; charset=utf-8', brotli: BROTLI }],
])

function get(path: string, accept?: string) {
  const { app } = createTestApp({ console: FILES })
  return app.request(path, accept === undefined ? {} : { headers: { 'Accept-Encoding': accept } })
}

describe('the files of the console', () => {
  test('are the page, which is checked each time, and scripts that browsers keep', async () => {
    const page = await get('/')
    expect([page.status, await page.text()]).toEqual([200, '<!doctype html>'])
    expect(page.headers.get('Cache-Control')).toBe('no-cache')
    expect(page.headers.get('Content-Security-Policy')).toBe(PAGE_CSP)
    expect(PAGE_CSP).not.toContain('unsafe')
    const script = await get('/assets/main-3f.js')
    expect([script.status, await script.text()]).toEqual([200, 'start()'])
    expect(script.headers.get('Cache-Control')).toBe('public, max-age=31536000, immutable')
    expect(script.headers.get('Content-Type')).toBe('text/javascript; charset=utf-8')
  })

  test.each([
    ['br', true],
    ['gzip, deflate, br, zstd', true],
    ['br;q=0.5', true],
    ['br;q=0', false],
    ['br;q=0.000, gzip', false],
    ['gzip', false],
    ['', false],
    ['brotli', false],
  ])('are compressed for Accept-Encoding: %s if it allows it', async (accept, isCompressed) => {
    const response = await get('/assets/main-3f.js', accept)
    expect(response.headers.get('Vary')).toContain('Accept-Encoding')
    expect(response.headers.get('Content-Encoding')).toBe(isCompressed ? 'br' : null)
    const expected = isCompressed ? BROTLI : new TextEncoder().encode('start()')
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(expected)
  })

  test('are 404 if they do not exist, whatever their names', async () => {
    for (const path of ['/assets/none.js', '/assets/..%2Findex.html', '/assets/__proto__', '/assets/']) {
      expect((await get(path)).status).toBe(404)
    }
    const { app } = createTestApp()
    expect((await app.request('/')).status).toBe(404)
  })
})
