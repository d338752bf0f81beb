import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { type Command, integer, parseCommandLine, text, UsageError } from '../lib/options.ts'

const CAPACITY = 'tools/scaling/capacity.json'
const SLOWER_HELP = 'how many times slower the analyzers are in the second run of each scenario'
const COUNT = { min: 1, max: 1_000_000_000 }

export const COMMAND = {
  call: 'npm run scaling --',
  summary:
    'Simulates how the gateways and the analyzers scale with the autoscalers of k8s/, and writes the figures and ' +
    'plots of docs/scaling.md.',
  options: {
    capacity: text({
      placeholder: 'FILE',
      help: `JSON with the measured gatewaySamplesPerCore and analyzerSamplesPerCore, and their source (default ${CAPACITY})`,
    }),
    gateway: integer({ ...COUNT, help: "samples/s that one core of a gateway accepts, instead of the file's" }),
    analyzer: integer({ ...COUNT, help: "samples/s that one core of an analyzer analyses, instead of the file's" }),
    start: integer({ ...COUNT, default: 20, help: 'seconds from the request for a pod until it is ready' }),
    slower: integer({ ...COUNT, default: 100, help: SLOWER_HELP }),
  },
  examples: ['', '--gateway 20000 --start 60'],
} satisfies Command

const capacitySchema = z.object({
  source: z.string(),
  gatewaySamplesPerCore: z.number().positive(),
  analyzerSamplesPerCore: z.number().positive(),
})

export type ScalingOptions = ReturnType<typeof readOptions>

/** Parses the command line and reads the capacity file. */
export function readOptions(args: readonly string[]) {
  const { capacity, gateway, analyzer, start, slower } = parseCommandLine(COMMAND, args).values
  const measured = readCapacity(capacity)
  const isGiven = gateway !== undefined || analyzer !== undefined
  return {
    /** Where the capacities come from, for the page. */
    source: isGiven ? 'given on the command line' : measured.source,
    gatewaySamplesPerCore: gateway ?? measured.gatewaySamplesPerCore,
    analyzerSamplesPerCore: analyzer ?? measured.analyzerSamplesPerCore,
    startS: start,
    slower,
  }
}

function readCapacity(path: string | undefined): z.output<typeof capacitySchema> {
  const file = path ?? new URL('capacity.json', import.meta.url)
  try {
    return capacitySchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (error) {
    const issue = error instanceof z.ZodError ? error.issues[0] : undefined
    const reason = issue === undefined ? String(error) : `${issue.path.join('.')}: ${issue.message}`
    throw new UsageError(`--capacity ${path}: ${reason}`, { cause: error })
  }
}
