import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import type { Docker } from '../lib/docker.ts'

const run = promisify(execFile)

/** Some engines save layers compressed. */
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b])

/** Whatever of `words` stands in the image's configuration, history or layers, those of its base apart. */
export async function findInImage(
  docker: Docker,
  { image, base, words }: { readonly image: string; readonly base: string; readonly words: readonly string[] },
): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-layers-'))
  try {
    await docker(['save', '--output', join(folder, 'image.tar'), image])
    await run('tar', ['--extract', '--file', join(folder, 'image.tar'), '--directory', folder])
    const manifest: unknown = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'))
    const [{ Config, Layers }] = manifest as [{ readonly Config: string; readonly Layers: readonly string[] }]
    const baseLayers = Number(await docker(['image', 'inspect', '--format', '{{len .RootFS.Layers}}', base]))
    const found = new Set<string>()
    for (const name of [Config, ...Layers.slice(baseLayers)]) {
      const bytes = await readFile(join(folder, name))
      const content = bytes.subarray(0, 2).equals(GZIP_MAGIC) ? gunzipSync(bytes) : bytes
      for (const word of words) if (content.includes(word)) found.add(word)
    }
    return [...found]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
