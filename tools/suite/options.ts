import { type Command, choice, commaSeparated, parseCommandLine } from '../lib/options.ts'
import { GROUPS, type Group } from './step.ts'

export const COMMAND = {
  call: 'npm test --',
  summary: 'Runs every check of Tidemark and ends with one line: N passed, N failed.',
  details: `The groups run in this order: check (format, lint, types and who may import whom), unit (tests without
network and processes, and the rules of the repository), integration (tests with a Redis), e2e (the whole pipeline as
processes), containers (the store's tests with a Redis in a container, if a Docker engine responds) and bench (the most
important figures, compared with the committed ones; it only warns).`,
  options: {
    only: commaSeparated(choice(GROUPS, { placeholder: 'GROUP,...', help: 'run only these groups' })),
  },
  notes: `Programs that tests need, such as redis-server and prometheus, are installed only with CI=true or as root on
Debian. Elsewhere a missing program is reported together with the command that installs it, and its tests are skipped.`,
  examples: ['', '--only check,unit', '--only e2e'],
} satisfies Command

export function readGroups(args: readonly string[]): ReadonlySet<Group> {
  const { only } = parseCommandLine(COMMAND, args).values
  return new Set(only.length === 0 ? GROUPS : only)
}
