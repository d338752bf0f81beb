import { readFileSync } from 'node:fs'
import { analyzerSettings } from '@tidemark/analyzer/config'
import { type Command, Failure, integer, parseCommandLine, runCommand } from '@tidemark/tools/lib/options'
import { formatTable } from '@tidemark/tools/lib/table'
import { limitMemory } from './cgroup.ts'
import { changeWindows } from './change-windows.ts'

const MIB = 1024 * 1024
const MANIFEST = new URL('../../k8s/base/analyzer.yaml', import.meta.url)

const COMMAND = {
  call: 'npm run memory --',
  summary:
    'Changes the window of all keys twice, far beyond the memory of an analyzer, and checks that it survives in a ' +
    'cgroup with the memory limit of k8s/ and forgets nothing.',
  options: {
    keys: integer({ min: 1000, max: 10_000_000, default: 200_000, help: 'keys' }),
  },
  examples: ['', '--keys 1000000'],
} satisfies Command

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, async () => {
  const { keys } = parseCommandLine(COMMAND, args).values
  const limitMiB = Number(/limits:[\s\S]*?memory: (\d+)Mi/.exec(readFileSync(MANIFEST, 'utf8'))?.[1])
  using limit = limitMemory(limitMiB * MIB)
  if (limit === undefined) process.stdout.write('no cgroup can be created here: the limit is only compared\n')
  const windowsBytesMax = analyzerSettings.shape.WINDOWS_BYTES_MAX.parse(undefined)
  const { phases, wrongKeys } = await changeWindows({ keys, windowsBytesMax, limit })
  const rows = phases.map(({ title, seconds, rss, windows, windowsBytes, evicted }) => [
    title,
    `${seconds.toFixed(1)} s`,
    Math.round(rss / MIB),
    windows,
    Math.round(windowsBytes / MIB),
    evicted,
  ])
  const head = [`${keys} keys`, 'took', 'RSS max MiB', 'windows', 'MiB', 'evicted so far']
  process.stdout.write(`${formatTable(head, rows, { align: 'right' })}\n`)
  const peak = Math.max(limit?.peak ?? 0, ...phases.map(({ rss }) => rss))
  process.stdout.write(`peak ${Math.round(peak / MIB)} MiB of ${limitMiB} MiB\n`)
  if (wrongKeys > 0) throw new Failure(`${wrongKeys} keys have lost samples of their window`)
  if (peak > limitMiB * MIB) throw new Failure('the analyzer needs more memory than its limit')
  return 0
})
