import { cp, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DIST = join(ROOT, 'dist')
const LUA = join(ROOT, 'packages', 'shared', 'src', 'store', 'redis', 'lua')

/** What the gateway's /docs serves of the package. */
const SWAGGER_FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'LICENSE', 'NOTICE']

/**
 * Bundles each service into one file that runs without node_modules, with what it reads at run time beside it, and another one
 * that is loaded only where spans are sent: Node refuses to strip types of packages in node_modules (nodejs/node#61793), so an image cannot have the sources as dependencies.
 */
await rm(DIST, { recursive: true, force: true })
await bundle('gateway')
await bundle('analyzer')
await copySwagger()
for (const service of ['gateway', 'analyzer']) console.log(await describeFolder(join(DIST, service)))

async function bundle(service: string): Promise<void> {
  const folder = join(DIST, service)
  const build = await rolldown({
    input: join(ROOT, 'packages', service, 'src', 'main.ts'),
    platform: 'node',
    // A warning here is a bundle that fails when it runs.
    onLog(level, log, defaultHandler) {
      if (level === 'warn') throw new Error(`bundling ${service}: ${log.message}`)
      defaultHandler(level, log)
    },
  })
  await build.write({ dir: folder, entryFileNames: 'main.mjs', chunkFileNames: '[name].mjs', format: 'esm' })
  await build.close()
  await cp(LUA, join(folder, 'lua'), { recursive: true })
}

async function copySwagger(): Promise<void> {
  // The package belongs to the gateway: pnpm links it nowhere else.
  const require = createRequire(join(ROOT, 'packages', 'gateway', 'package.json'))
  const from = dirname(require.resolve('swagger-ui-dist/package.json'))
  const to = join(DIST, 'gateway', 'swagger-ui')
  await mkdir(to, { recursive: true })
  for (const name of SWAGGER_FILES) await cp(join(from, name), join(to, name))
}

async function describeFolder(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true })
  const sizes = await Promise.all(
    names.map(async name => {
      const stats = await stat(join(folder, name))
      return stats.isFile() ? { name, bytes: stats.size } : undefined
    }),
  )
  const found = sizes.filter(size => size !== undefined)
  const total = found.reduce((sum, { bytes }) => sum + bytes, 0)
  const main = found.find(({ name }) => name === 'main.mjs')?.bytes ?? 0
  const kib = (bytes: number): string => `${Math.round(bytes / 1024)} KiB`
  return `${relative(ROOT, folder)}: ${found.length} files, ${kib(total)} (main.mjs ${kib(main)})`
}
