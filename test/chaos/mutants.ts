import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { MUTANTS, type Mutant } from './mutant.ts'

/** A mutant that makes everything stand still is given up after this, and counts as a survivor. */
const LIMIT_MS = 240_000

const HELP = `Takes the safeguards out of a copy of this tree, one at a time, and requires that the short chaos run notices each.

Usage: npm run mutants -- [options]

  --seed N      of the chaos runs (1)
  --only TEXT   only mutants whose names contain this
  --help        this text
`

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
})

const root = fileURLToPath(new URL('../..', import.meta.url))

interface Outcome {
  readonly name: string
  readonly isKilled: boolean
  readonly seconds: number
  readonly breach: string
}

if (values.help) process.stdout.write(HELP)
else process.exitCode = await main()

async function main(): Promise<number> {
  const outcomes: Outcome[] = []
  const unchanged: Mutant = { name: 'nothing is changed', file: 'package.json', changes: [] }
  // The copy without a mutation has to pass, or the others would fail for another reason.
  for (const mutant of [unchanged, ...MUTANTS]) {
    if (!mutant.name.includes(values.only)) continue
    process.stderr.write(`${mutant.name} ...\n`)
    outcomes.push(await tryMutant(mutant))
    const { isKilled, seconds, breach } = outcomes.at(-1) ?? { isKilled: false, seconds: 0, breach: '' }
    process.stderr.write(`  ${isKilled ? 'noticed' : 'not noticed'} in ${seconds} s ${breach}\n`)
  }
  const table = outcomes.map(({ name, isKilled, seconds, breach }) => {
    return `| ${name} | ${isKilled ? 'noticed' : 'not noticed'} | ${seconds} s | ${breach.slice(0, 160).replaceAll('|', '/').replaceAll('\n', ' ')} |\n`
  })
  process.stdout.write(`| mutation | chaos run | time | first breach |\n| --- | --- | --- | --- |\n${table.join('')}`)
  const isRight = ({ name, isKilled }: Outcome): boolean => isKilled === (name !== unchanged.name)
  return outcomes.every(isRight) ? 0 : 1
}

async function tryMutant(mutant: Mutant): Promise<Outcome> {
  const begin = performance.now()
  const copy = await mkdtemp(join(tmpdir(), 'tidemark-mutant-'))
  try {
    await copyTree(copy)
    await mutate(mutant, copy)
    const breaches = await chaosIn(copy)
    // What the harness says of itself is no invariant of the product.
    const breach = breaches.find(text => /^[IRG]\d/.test(text))
    const seconds = Math.round((performance.now() - begin) / 1000)
    return { name: mutant.name, isKilled: breach !== undefined, seconds, breach: breach ?? breaches[0] ?? '' }
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

async function mutate({ name, file, changes }: Mutant, copy: string): Promise<void> {
  const path = join(copy, file)
  let text = await readFile(path, 'utf8')
  for (const { from, to } of changes) {
    const found = text.split(from).length - 1
    if (found !== 1) throw new Error(`${name}: ${file} has ${found} times, and should have once: ${from}`)
    text = text.replace(from, to)
  }
  await writeFile(path, text)
}

/** Copies what git knows of, as it stands in the tree, and links what is installed. */
async function copyTree(copy: string): Promise<void> {
  const { stdout } = await promisify(execFile)(
    'git',
    ['ls-files', '-co', '--exclude-standard', '-z', 'packages', 'scripts', 'test', '*.json', '*.ts'],
    {
      cwd: root,
      maxBuffer: 1 << 24,
    },
  )
  for (const file of stdout.split('\0').filter(name => name !== '')) {
    await mkdir(dirname(join(copy, file)), { recursive: true })
    // Deleted in the tree and not yet in the index.
    await copyFile(join(root, file), join(copy, file)).catch(() => {})
  }
  const packages = await readdir(join(copy, 'packages'))
  for (const folder of ['.', ...packages.map(name => join('packages', name))]) await linkModules(folder, copy)
}

/** The copy's own packages must lead to each other and not back to the tree. */
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
    for (const own of await readdir(join(from, name))) await symlink(join(copy, 'packages', own), join(to, name, own))
  }
}

/** Runs the short chaos run of a tree; what it says was breached. */
async function chaosIn(copy: string): Promise<string[]> {
  const file = join(copy, 'breaches.json')
  const args = [
    join(copy, 'test/chaos/main.ts'),
    '--short',
    '--seed',
    values.seed,
    '--breaches',
    file,
    '--report',
    join(copy, 'report.md'),
  ]
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
