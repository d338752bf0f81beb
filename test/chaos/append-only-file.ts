import { readdir, readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { keys, type RedisClient } from './redis-client.ts'

/** The command that ends a transaction in an append-only file. */
const EXEC = '*1\r\n$4\r\nEXEC\r\n'

const REWRITE_WITHIN_MS = 60_000

const byNumber = new Intl.Collator('en', { numeric: true }).compare

/** Returns the path of the append-only file that Redis currently writes. */
export async function aofFile(redis: RedisClient): Promise<string> {
  const [, folder = ''] = (await redis.config('GET', 'dir')) as string[]
  const aof = join(folder, 'appendonlydir')
  const file = (await readdir(aof))
    .filter(name => name.endsWith('.incr.aof'))
    .toSorted(byNumber)
    .at(-1)
  if (file === undefined) throw new Error(`no append-only file in ${aof}`)
  return join(aof, file)
}

/** Rewrites the append-only file. Redis loads all of it at startup, and must restart fast. */
export async function compactAof(redis: RedisClient): Promise<void> {
  // Redis may have begun one by itself, because the file has grown.
  await redis.bgrewriteaof().catch((error: Error) => {
    if (!error.message.includes('already in progress')) throw error
  })
  const deadline = performance.now() + REWRITE_WITHIN_MS
  const isRewriting = async (): Promise<boolean> =>
    /aof_rewrite_(in_progress|scheduled):1/.test(await redis.info('persistence'))
  while ((await isRewriting()) && performance.now() < deadline) await pause(20)
}

/** Truncates the file before the last commit of a partition (a transaction). */
export async function cutLastCommit(file: string, partition: number): Promise<void> {
  const content = await readFile(file)
  // Only a commit writes a checkpoint in a transaction.
  const checkpoint = content.lastIndexOf(`${keys.partition(partition).checkpoint}\r\n`)
  const begin = content.lastIndexOf('*1\r\n$5\r\nMULTI\r\n', checkpoint)
  if (begin > 0) await truncate(file, begin)
}

/** Truncates the file after the transaction that contains the last of these entries. */
export async function cutAfter(file: string, ids: readonly string[]): Promise<void> {
  const content = await readFile(file)
  const last = Math.max(...ids.map(id => content.lastIndexOf(`\r\n${id}\r\n`)))
  const end = last < 0 ? -1 : content.indexOf(EXEC, last)
  if (end >= 0) await truncate(file, end + EXEC.length)
}
