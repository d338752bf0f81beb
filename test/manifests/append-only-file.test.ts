import { execFileSync } from 'node:child_process'
import { stat, truncate } from 'node:fs/promises'
import { dirname } from 'node:path'
import { eventually } from '@tidemark/testkit/eventually'
import { redisClusterAvailable } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { startRedisProcess } from '@tidemark/testkit/redis-process'
import { build } from '@tidemark/tools/manifests/kustomize'
import { findServer } from '@tidemark/tools/stack/redis'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { aofFile } from '../chaos/append-only-file.ts'
import { readText } from '../monitoring/rules.ts'
import { canBuild } from './build.ts'
import { container } from './mutations.ts'

const PERSISTENT = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
const SCRIPT = "for i = 1, 20 do redis.call('SET', 'half' .. i, string.rep('x', 50)) end"

const server = findServer() ?? 'redis-server'

/** Returns the script that runs before Redis, by where it is written. */
const PREPARATIONS: readonly (readonly [where: string, script: () => string])[] = [
  ['the manifest', () => container(build('base'), 'redis').command?.[2] ?? ''],
  [
    'compose.yaml',
    () => parse(readText('compose.yaml'), { merge: true }).services.redis.command[2].replaceAll('$$', '$'),
  ],
]

describe.skipIf(!canBuild() || !(await redisClusterAvailable()))(
  'a file that a crash cut off within a transaction',
  () => {
    /**
     * Runs a transaction, cuts the file within it, prepares the start, writes after the start, and
     * starts once more. Returns what is there.
     */
    async function afterCrash(prepare: (folder: string) => void): Promise<string[]> {
      await using process = await startRedisProcess(server, PERSISTENT)
      const redis = rawClient(process.url)
      redis.on('error', () => {})
      try {
        await redis.set('before', 1)
        await redis.eval(SCRIPT, 0)
        const file = await aofFile(redis)
        await process.kill()
        await truncate(file, (await stat(file)).size - 100)
        prepare(dirname(dirname(file)))
        await process.start()
        await redis.set('after', 1)
        await process.kill()
        await process.start()
        return await eventually(async () => (await redis.keys('*')).toSorted())
      } finally {
        redis.disconnect()
      }
    }

    test.each(PREPARATIONS)('is repaired by %s before Redis starts, and what follows is kept', async (_, script) => {
      const run = (folder: string): void => {
        // `true` stands in for the server.
        execFileSync('sh', ['-c', script().replaceAll('/data', folder), 'redis', 'true'], { stdio: 'ignore' })
      }
      expect(await afterCrash(run)).toEqual(['after', 'before'])
    })

    test('would corrupt what follows without that', async () => {
      expect(await afterCrash(() => undefined)).not.toEqual(['after', 'before'])
    })

    test.each(PREPARATIONS)('%s starts Redis without a file too', (_, script) => {
      const run = () => execFileSync('sh', ['-c', script(), 'redis', 'echo', 'started'], { encoding: 'utf8' })
      expect(run()).toBe('started\n')
    })
  },
)
