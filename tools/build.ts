import { cp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { build as buildPage } from 'vite'

/**
 * Bundles services: node tools/build.ts [gateway] [analyzer] [mqtt], called by their build scripts.
 * Each becomes one file that runs without node_modules, with the files it reads at run time beside
 * it and a second file that is loaded only if spans are exported. An image cannot contain sources
 * as dependencies: Node strips no types in node_modules (nodejs/node#61793).
 */

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LUA = join(ROOT, 'packages', 'shared', 'src', 'store', 'redis', 'lua')

/** The users of Redis, from which the gateway's image makes the secrets of compose.yaml. */
const USERS = join(ROOT, 'packages', 'gateway', 'src', 'secrets', 'users.acl')

/** The operators' console, which the gateway serves at `/`. */
const CONSOLE = join(ROOT, 'packages', 'console')

/** The page of the HTTP API, which the gateway serves at `/docs`. */
const DOCS = join(ROOT, 'packages', 'gateway', 'src', 'http', 'docs')

/** The files of swagger-ui-dist that the gateway serves under /docs. */
const SWAGGER_FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'LICENSE', 'NOTICE']

const chosen = process.argv.slice(2)
for (const service of chosen.length > 0 ? chosen : ['gateway', 'analyzer', 'mqtt']) {
  const dist = join(ROOT, 'packages', service, 'dist')
  await rm(dist, { recursive: true, force: true })
  await bundle(service, dist)
  if (service !== 'mqtt') await cp(LUA, join(dist, 'lua'), { recursive: true })
  if (service === 'gateway') {
    await copyDocs(join(dist, 'docs'))
    await buildPage({ root: CONSOLE, logLevel: 'warn', build: { outDir: join(dist, 'console'), emptyOutDir: true } })
    await bundle(service, dist, 'secrets/main', 'secrets')
    await bundle(service, dist, 'canary/main', 'canary')
    await cp(USERS, join(dist, 'users.acl'))
  }
  console.log(await describeFolder(dist))
}

async function bundle(service: string, dist: string, source = 'main', name = 'main'): Promise<void> {
  const build = await rolldown({
    input: join(ROOT, 'packages', service, 'src', `${source}.ts`),
    platform: 'node',
    // Tree-shaking keeps zod's messages in 63 languages (265 KiB): zod exports them as one object.
    plugins: [
      {
        name: 'english-only',
        load: {
          filter: { id: /zod\/v4\/locales\/index\.js$/ },
          handler: () => "export { default as en } from './en.js'",
        },
      },
      {
        // A dependency that reads its version would bring its whole manifest, and a registry in it.
        name: 'short-manifests',
        load: {
          filter: { id: /node_modules\/(?:@[^/]+\/)?[^/]+\/package\.json$/ },
          async handler(id) {
            const { name, version } = JSON.parse(await readFile(id, 'utf8')) as { name: string; version: string }
            return JSON.stringify({ name, version })
          },
        },
      },
    ],
    // What rolldown warns about fails when the bundle runs.
    onLog(level, log, defaultHandler) {
      if (level === 'warn') throw new Error(`bundling ${service}: ${log.message}`)
      defaultHandler(level, log)
    },
  })
  await build.write({ dir: dist, entryFileNames: `${name}.mjs`, chunkFileNames: '[name].mjs', format: 'esm' })
  await build.close()
}

/** The page under /docs: the gateway's own files, and those of Swagger UI. */
async function copyDocs(to: string): Promise<void> {
  // pnpm links the package only in the gateway, which depends on it.
  const require = createRequire(join(ROOT, 'packages', 'gateway', 'package.json'))
  const from = dirname(require.resolve('swagger-ui-dist/package.json'))
  await cp(DOCS, to, { recursive: true })
  for (const name of SWAGGER_FILES) await cp(join(from, name), join(to, name))
}

async function describeFolder(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile())
  const stats = await Promise.all(files.map(({ parentPath, name }) => stat(join(parentPath, name))))
  const bytes = stats.reduce((sum, { size }) => sum + size, 0)
  return `${relative(ROOT, folder)}: ${files.length} files, ${Math.round(bytes / 1024)} KiB`
}
