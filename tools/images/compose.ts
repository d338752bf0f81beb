import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Docker, succeeds } from '../lib/docker.ts'
import { ROOT, temporaryFolder } from '../lib/project.ts'
import { Client } from '../stack/client.ts'
import type { CheckContext } from './report.ts'
import { imageOf } from './service-images.ts'

const UP_LIMIT_MS = 120_000
const REDIS_IMAGE_DERIVED = 'tidemark-compose-redis:local'

/** The user of Redis in compose.yaml. */
const REDIS_USER = '999:1000'

/** Runs compose.yaml with the images that were just built, if the plug-in is installed. */
export async function runCompose({ docker, redisImage, report }: CheckContext): Promise<void> {
  const title = 'compose.yaml runs'
  if (!(await succeeds(docker, ['compose', 'version']))) {
    report.skipped(title, 'the plug-in docker compose is not installed')
    return
  }
  await deriveRedisImage(docker, redisImage)
  const images = { REDIS_IMAGE: REDIS_IMAGE_DERIVED, GATEWAY_IMAGE: imageOf('gateway') }
  const env = { ...images, ANALYZER_IMAGE: imageOf('analyzer'), GATEWAY_PORT: '0' }
  const project = ['compose', '--project-directory', ROOT, '--project-name', `tidemark-images-${process.pid}`]
  const compose = (...args: string[]) => docker([...project, ...args], { env, limitMs: UP_LIMIT_MS })
  await report.step('compose.yaml is valid', async () => {
    await compose('config', '--quiet')
    return await docker(['compose', 'version', '--short'])
  })
  try {
    await report.step(title, async () => {
      await compose('up', '--detach', '--no-build', '--wait', '--scale', 'analyzer=3')
      const port = Number(/:(\d+)$/.exec(await compose('port', 'gateway', '8080'))?.[1])
      // Any image has node; one may have no shell.
      const readKey = 'process.stdout.write(require("node:fs").readFileSync("/run/tidemark/api-key", "utf8").trim())'
      const client = new Client(port, await compose('exec', '-T', 'gateway', 'node', '-e', readKey))
      const { receipts } = await client.ingest({ key: 'edge-1/temperature', value: 20 })
      const { id, count } = await client.analysis('edge-1/temperature', receipts[0])
      assert.deepEqual({ id, count }, { id: receipts[0], count: 1 })
      return 'all healthy, 3 analyzers, a sample analysed'
    })
  } finally {
    await compose('down', '--volumes')
    await docker(['image', 'rm', REDIS_IMAGE_DERIVED])
  }
}

/** Adds what a substitute for the official Redis image lacks: a /data that belongs to its user. */
async function deriveRedisImage(docker: Docker, image: string): Promise<void> {
  await using folder = await temporaryFolder('docker')
  await mkdir(join(folder.path, 'data'))
  await writeFile(join(folder.path, 'data', '.keep'), '')
  await writeFile(join(folder.path, 'Dockerfile'), `FROM ${image}\nCOPY --chown=${REDIS_USER} data /data\n`)
  await docker(['build', '--tag', REDIS_IMAGE_DERIVED, folder.path])
}
