import { parseArgs } from 'node:util'

/** What can be asked for with --only, in the order it is run. */
export const GROUPS = ['check', 'unit', 'integration', 'e2e', 'containers', 'bench'] as const
export type Group = (typeof GROUPS)[number]

export type Command =
  | { readonly kind: 'run'; readonly groups: ReadonlySet<Group> }
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly reason: string }

export const HELP = `Runs every check of Tidemark and ends with one line: N passed, N failed.

Usage: npm test -- [--only GROUP,...]

Groups:
  check         format, lint, types, and who may import whom
  unit          tests without network and processes, and of the repository's tidiness
  integration   tests against a Redis
  e2e           the whole pipeline, as processes
  containers    the store's tests once more, against a Redis in a container
  bench         the figures that matter most, held against the committed table; it only warns

Tests that need Redis run redis-server or valkey-server; where there is none it is installed if that needs no password.
`

export function parseCommand(args: readonly string[]): Command {
  let values: { only?: string | undefined; help?: boolean | undefined }
  try {
    const options = { only: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const
    values = parseArgs({ args: [...args], options }).values
  } catch (error) {
    return { kind: 'wrong', reason: error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error) }
  }
  if (values.help === true) return { kind: 'help' }
  if (values.only === undefined) return { kind: 'run', groups: new Set(GROUPS) }
  const names = values.only.split(',').map(name => name.trim())
  const unknown = names.find(name => !isGroup(name))
  if (unknown !== undefined) {
    return { kind: 'wrong', reason: `--only takes some of ${GROUPS.join(', ')}, not '${unknown}'` }
  }
  return { kind: 'run', groups: new Set(names.filter(isGroup)) }
}

function isGroup(name: string): name is Group {
  return GROUPS.some(group => group === name)
}
