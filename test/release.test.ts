import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ROOT, temporaryFolder } from '@tidemark/tools/lib/project'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const MAIN = join(ROOT, 'tools', 'release', 'main.ts')

test('npm run release writes the list of contents and checksums, and leaves other files alone', async () => {
  await using folder = await temporaryFolder('release')
  await writeFile(join(folder.path, 'mine.txt'), 'kept')
  await writeFile(join(folder.path, 'tidemark-0.0.1.cdx.json'), '{}')
  const args = [MAIN, '--dirty', '--images', 'no', '--folder', folder.path]
  const { stdout } = await run(process.execPath, args)
  expect(stdout).toContain('no images: --images no')
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  const list = `tidemark-${version}.cdx.json`
  expect((await readdir(folder.path)).toSorted()).toEqual(['SHA256SUMS', 'mine.txt', list])
  const content = await readFile(join(folder.path, list))
  expect(JSON.parse(content.toString())).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { version } } })
  const sums = await readFile(join(folder.path, 'SHA256SUMS'), 'utf8')
  expect(sums).toBe(`${createHash('sha256').update(content).digest('hex')}  ${list}\n`)
})
