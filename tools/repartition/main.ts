import { checkRedisRules, commonSettings, readConfig } from '@tidemark/shared/runtime/config'
import { currentRedisAccess } from '@tidemark/shared/runtime/redis-access'
import { PARTITIONS_MAX } from '@tidemark/shared/sample/partition'
import { RepartitionRefused } from '@tidemark/shared/store/redis/repartition/preconditions'
import { repartition } from '@tidemark/shared/store/redis/repartition/repartition'
import { z } from 'zod'
import { type Command, Failure, integer, parseCommandLine, runCommand, UsageError } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'

const COMMAND = {
  call: 'npm run repartition --',
  summary:
    'Changes the number of partitions of a deployment. All gateways and analyzers must be stopped, and all samples ' +
    'analysed. Nothing is lost; an interrupted run is continued by the same command. See docs/repartition.md.',
  details: 'Redis is the one of REDIS_URL and the other REDIS_ settings of the services.',
  options: {
    partitions: integer({ min: 1, max: PARTITIONS_MAX, help: 'how many partitions there will be' }),
  },
  examples: ['--partitions 32'],
} satisfies Command

/** A page of a large stream may take Redis long, and nothing else needs it meanwhile. */
const COMMAND_TIMEOUT_MS = 60_000

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const { partitions } = parseCommandLine(COMMAND, process.argv.slice(2)).values
  if (partitions === undefined) throw new UsageError('--partitions is missing: how many there will be')
  const config = readConfig(z.object(commonSettings).superRefine(checkRedisRules), process.env)
  using progress = openProgress({ output: process.stderr, title: 'repartition', total: 1000, lineEveryMs: 1000 })
  const result = await repartition({
    partitions,
    url: config.REDIS_URL,
    cluster: config.REDIS_CLUSTER,
    prefix: config.REDIS_PREFIX,
    access: currentRedisAccess(config, error => progress.say(error.message)),
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
    onFailure: error => progress.say(error.message),
    onProgress: (done, total, text) => progress.update(Math.floor((1000 * done) / total), text),
  }).catch(error => {
    if (error instanceof RepartitionRefused) throw new Failure(`${error.message}.`)
    throw error
  })
  progress.say(
    `${result.from} partitions are now ${result.to}${result.isResumed ? ', after an interrupted run' : ''}. ` +
      `Set PARTITIONS to ${result.to} or leave it out, then start the analyzers and the gateways.`,
  )
  return 0
}
