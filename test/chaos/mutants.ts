import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Command, integer, parseCommandLine, runCommand, text } from '@tidemark/tools/lib/options'
import { formatMarkdownTable } from '@tidemark/tools/lib/table'
import { MUTANTS, type Mutant } from './mutations.ts'

/** A mutant whose run takes longer counts as not detected. */
const LIMIT_MS = 240_000
const VIOLATION_LENGTH_MAX = 160

const COMMAND = {
  call: 'npm run mutants --',
  summary:
    'Removes the safeguards from a copy of this tree, one at a time, and requires that the short chaos run detects each ' +
    'one.',
  options: {
    seed: integer({ min: 0, max: 2 ** 31, default: 1, help: 'the seed of the chaos runs' }),
    only: text({ placeholder: 'TEXT', help: 'only the mutants whose names contain TEXT' }),
  },
  examples: ['', '--only lease'],
} satisfies Command

const root = fileURLToPath(new URL('../..', import.meta.url))

interface Outcome {
  readonly name: string
  readonly isKilled: boolean
  readonly seconds: number
  readonly violation: string
}

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const { seed, only = '' } = parseCommandLine(COMMAND, process.argv.slice(2)).values
  const outcomes: Outcome[] = []
  const unchanged: Mutant = { name: 'nothing', file: 'package.json', changes: [] }
  // The unmutated copy must pass. Otherwise the mutants would fail for another reason.
  for (const mutant of [unchanged, ...MUTANTS]) {
    if (!mutant.name.includes(only)) continue
    process.stderr.write(`${mutant.name} ...\n`)
    const outcome = await tryMutant(mutant, seed)
    outcomes.push(outcome)
    process.stderr.write(`  ${verdictOf(outcome)} in ${outcome.seconds} s ${outcome.violation}\n`)
  }
  const rows = outcomes.map(outcome => {
    const { name, seconds, violation } = outcome
    return [name, verdictOf(outcome), `${seconds} s`, violation.slice(0, VIOLATION_LENGTH_MAX)]
  })
  process.stdout.write(`${formatMarkdownTable(['removed', 'chaos run', 'after', 'first violation'], rows)}\n`)
  const isRight = ({ name, isKilled }: Outcome): boolean => isKilled === (name !== unchanged.name)
  return outcomes.every(isRight) ? 0 : 1
}

function verdictOf({ isKilled }: Outcome): string {
  return isKilled ? 'detected' : 'not detected'
}

async function tryMutant(mutant: Mutant, seed: number): Promise<Outcome> {
  const begin = performance.now()
  const copy = await mkdtemp(join(tmpdir(), 'tidemark-mutant-'))
  try {
    await copyTree(copy)
    await mutate(mutant, copy)
    const violations = await chaosIn(copy, seed)
    // Violations of the harness's own checks are not violations of an invariant of the product.
    const violation = violations.find(text => /^[IRG]\d/.test(text))
    const seconds = Math.round((performance.now() - begin) / 1000)
    return {
      name: mutant.name,
      isKilled: violation !== undefined,
      seconds,
      violation: violation ?? violations[0] ?? '',
    }
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

async function mutate({ name, file, changes }: Mutant, copy: string): Promise<void> {
  const path = join(copy, file)
  let text = await readFile(path, 'utf8')
  for (const { from, to } of changes) {
    const found = text.split(from).length - 1
    if (found !== 1) throw new Error(`${name}: found ${found} times instead of once in ${file}: ${from}`)
    text = text.replace(from, to)
  }
  await writeFile(path, text)
}

/** Copies the working tree without ignored files, and links the installed packages. */
async function copyTree(copy: string): Promise<void> {
  const patterns = ['packages', 'tools', 'test', '*.json', '*.ts']
  const args = ['ls-files', '-co', '--exclude-standard', '-z', ...patterns]
  const { stdout } = await promisify(execFile)('git', args, { cwd: root, maxBuffer: 1 << 24 })
  for (const file of stdout.split('\0').filter(name => name !== '')) {
    await mkdir(dirname(join(copy, file)), { recursive: true })
    // A file that is deleted in the tree may still be in the index.
    await copyFile(join(root, file), join(copy, file)).catch(() => {})
  }
  const packages = await readdir(join(copy, 'packages'))
  const folders = ['.', 'tools', 'test', ...packages.map(name => join('packages', name))]
  for (const folder of folders) await linkModules(folder, copy)
}

/** Links a package's dependencies. The copy's own packages must refer to the copy. */
async function linkModules(folder: string, copy: string): Promise<void> {
  const from = join(root, folder, 'node_modules')
  const to = join(copy, folder, 'node_modules')
  const names = await readdir(from).catch(() => [])
  await mkdir(to, { recursive: true })
  for (const name of names) {
    if (name.startsWith('.')) continue
    if (name !== '@tidemark') {
      await symlink(await realpath(join(from, name)), join(to, name))
      continue
    }
    await mkdir(join(to, name))
    for (const own of await readdir(join(from, name))) {
      await symlink(join(copy, relative(root, await realpath(join(from, name, own)))), join(to, name, own))
    }
  }
}

/** Runs the short chaos run of a copy. Returns the violations. */
async function chaosIn(copy: string, seed: number): Promise<string[]> {
  const file = join(copy, 'violations.json')
  const options = ['--short', '--seed', String(seed), '--violations', file, '--report', join(copy, 'report.md')]
  const args = [join(copy, 'test/chaos/main.ts'), ...options]
  const child = spawn(process.execPath, args, { cwd: copy, stdio: ['ignore', 'ignore', 'pipe'] })
  let output = ''
  child.stderr.on('data', chunk => {
    output = (output + String(chunk)).slice(-4000)
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
  const [code] = await once(child, 'close')
  clearTimeout(timer)
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return [`the run ended with ${code}: ${output}`]
  return JSON.parse(text) as string[]
}
