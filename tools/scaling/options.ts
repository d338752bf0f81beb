import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { z } from 'zod'

const START_S_DEFAULT = 20
const SLOWER_DEFAULT = 100

export interface ScalingOptions {
  /** Where the capacities come from, for the page. */
  readonly source: string
  readonly gatewaySamplesPerCore: number
  readonly analyzerSamplesPerCore: number
  readonly startS: number
  /** How many times as much a verdict costs in the second picture of each scenario. */
  readonly slower: number
}

export type Command =
  | { readonly kind: 'run'; readonly options: ScalingOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly reason: string }

export const HELP = `Simulates how both tiers scale, with the autoscalers of k8s/, and writes docs/scaling.md's figures and plots.

Usage: npm run scaling -- [options]

  --capacity FILE  JSON with gatewaySamplesPerCore and analyzerSamplesPerCore, as measured, and their source
                   (tools/scaling/capacity.json)
  --gateway N      samples/s that a core of a gateway takes, instead of the file's
  --analyzer N     samples/s that a core of an analyzer drains, instead of the file's
  --start N        seconds from when a pod is asked for until it is ready (${START_S_DEFAULT})
  --slower N       how many times as much a verdict costs in the second run of each scenario (${SLOWER_DEFAULT})
  --help           this text
`

const CAPACITY = new URL('capacity.json', import.meta.url)
const capacitySchema = z.object({
  source: z.string(),
  gatewaySamplesPerCore: z.number().positive(),
  analyzerSamplesPerCore: z.number().positive(),
})

/** Reads the command line and the file that it names. */
export function parseCommand(args: readonly string[]): Command {
  let values: ReturnType<typeof parse>
  try {
    values = parse(args)
  } catch (error) {
    return wrong(error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error))
  }
  if (values.help === true) return { kind: 'help' }
  const capacity = readCapacity(values.capacity)
  if (typeof capacity === 'string') return wrong(capacity)
  for (const name of ['gateway', 'analyzer', 'start', 'slower'] as const) {
    if (values[name] !== undefined && !isCount(values[name])) {
      return wrong(`--${name} takes a number from 1 to 1000000000, not '${values[name]}'`)
    }
  }
  const isGiven = values.gateway !== undefined || values.analyzer !== undefined
  return {
    kind: 'run',
    options: {
      source: isGiven ? 'given on the command line' : capacity.source,
      gatewaySamplesPerCore: Number(values.gateway ?? capacity.gatewaySamplesPerCore),
      analyzerSamplesPerCore: Number(values.analyzer ?? capacity.analyzerSamplesPerCore),
      startS: Number(values.start ?? START_S_DEFAULT),
      slower: Number(values.slower ?? SLOWER_DEFAULT),
    },
  }
}

function parse(args: readonly string[]) {
  const string = { type: 'string' } as const
  return parseArgs({
    args: [...args],
    options: {
      capacity: string,
      gateway: string,
      analyzer: string,
      start: string,
      slower: string,
      help: { type: 'boolean', short: 'h' },
    },
  }).values
}

/** The capacities, or a sentence that says what is wrong with the file. */
function readCapacity(path: string | undefined): z.output<typeof capacitySchema> | string {
  const file = path ?? CAPACITY
  try {
    const result = capacitySchema.safeParse(JSON.parse(readFileSync(file, 'utf8')))
    if (result.success) return result.data
    const [issue] = result.error.issues
    return `--capacity ${path}: ${issue?.path.join('.')}: ${issue?.message}`
  } catch (error) {
    return `--capacity ${path}: ${error instanceof Error ? error.message : String(error)}`
  }
}

function isCount(text: string): boolean {
  return /^[1-9]\d{0,8}$|^1000000000$/.test(text)
}

function wrong(reason: string): Command {
  return { kind: 'wrong', reason }
}
