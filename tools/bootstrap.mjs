// Installs the project on a machine with only Node (20 or newer) and npm, then runs a script.
//   node tools/bootstrap.mjs SCRIPT.ts [ARG...]    runs a TypeScript file with the pinned Node
//   node tools/bootstrap.mjs --run BIN [ARG...]    runs an installed program
//   node tools/bootstrap.mjs --install             only installs
// Plain JavaScript without dependencies, because it runs with the machine's own Node.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PNPM_VERSION = '12.21.0'
const NODE_MAJOR = 24
const NODE_MAJOR_MIN = 20

/** An installation that takes longer has crashed. */
const LOCK_DEADLINE_MS = 300_000

const root = fileURLToPath(new URL('..', import.meta.url))
const tools = join(root, '.tools')
const toolsBin = join(tools, 'node_modules', '.bin')
const projectBin = join(root, 'node_modules', '.bin')
const stampFile = join(root, 'node_modules', '.tidemark-setup')
const lock = join(root, '.tools.lock')
const nodeVersion = Number(process.versions.node.split('.')[0])

function say(text) {
  process.stderr.write(`${text}\n`)
}

function fail(text) {
  say(`\ntidemark: ${text}`)
  process.exit(1)
}

/** Returns a hash of everything that determines what is installed. */
function inputsHash() {
  const hash = createHash('sha256').update(`${PNPM_VERSION} ${process.platform} ${process.arch}`)
  const packages = readdirSync(join(root, 'packages')).map(name => `packages/${name}`)
  const manifests = ['.', 'tools', 'test', ...packages].map(folder => `${folder}/package.json`)
  for (const file of [...manifests, 'pnpm-lock.yaml', 'pnpm-workspace.yaml']) {
    const path = join(root, file)
    if (existsSync(path)) hash.update(file).update(readFileSync(path))
  }
  return hash.digest('hex')
}

/** Runs a step of the installation; its output is shown only if it fails. */
function step(title, command, args, options = {}) {
  const begin = Date.now()
  process.stderr.write(`${title} ... `)
  const stdio = ['ignore', 'pipe', 'pipe']
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26, stdio, ...options })
  // Ctrl-C also reaches npm and pnpm; their failure is not an error to report.
  if (result.signal === 'SIGINT' || result.signal === 'SIGTERM' || result.status === 130) {
    say('stopped')
    releaseLock()
    process.exit(130)
  }
  if (result.status !== 0) {
    say(`failed\n${result.stdout ?? ''}${result.stderr ?? ''}`)
    releaseLock()
    const cause = result.error ? `: ${result.error.message}` : ''
    fail(`"${command} ${args.join(' ')}" failed${cause}. Is the npm registry reachable? Is the disk full?`)
  }
  say(`${((Date.now() - begin) / 1000).toFixed(1)} s`)
}

function install(wanted) {
  say('tidemark: installing dependencies (first run only)')
  const pnpmManifest = join(tools, 'node_modules', 'pnpm', 'package.json')
  const pnpmThere = existsSync(pnpmManifest) && JSON.parse(readFileSync(pnpmManifest, 'utf8')).version === PNPM_VERSION
  if (!pnpmThere) {
    rmSync(tools, { recursive: true, force: true })
    mkdirSync(tools, { recursive: true })
    writeFileSync(join(tools, 'package.json'), '{ "private": true }\n')
    const options = ['--no-audit', '--no-fund', '--no-update-notifier']
    step(`  pnpm ${PNPM_VERSION}`, 'npm', ['install', '--prefix', tools, `pnpm@${PNPM_VERSION}`, ...options])
  }
  // With CI, pnpm replaces a node_modules of another package manager without a question.
  const env = { ...process.env, PATH: `${toolsBin}${delimiter}${process.env.PATH}`, CI: 'true' }
  step('  dependencies and Node 24', 'pnpm', ['install', '--frozen-lockfile'], { env })
  if (existsSync(join(root, '.git'))) spawnSync('git', ['config', 'core.hooksPath', '.githooks'], { cwd: root })
  writeFileSync(stampFile, wanted)
}

/** Installs once. A lock serialises two of them, such as npm start and npm test in a new clone. */
function installOnce() {
  const wanted = inputsHash()
  const isInstalled = () => existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wanted
  if (isInstalled()) return
  takeLock()
  try {
    if (!isInstalled()) install(wanted)
  } finally {
    releaseLock()
  }
}

/** Takes the lock, a folder: creating one is atomic. A crash leaves one older than the deadline. */
function takeLock() {
  let isWaiting = false
  for (;;) {
    try {
      mkdirSync(lock)
      return
    } catch (error) {
      if (error.code !== 'EEXIST') fail(`cannot write into ${root}: ${error.message}`)
    }
    const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
    if (Date.now() - since > LOCK_DEADLINE_MS) releaseLock()
    else if (!isWaiting) say(`tidemark: waiting for another installation in this folder (if none runs, delete ${lock})`)
    isWaiting = true
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
  }
}

function releaseLock() {
  rmSync(lock, { recursive: true, force: true })
}

/** Returns the pinned Node if it runs here, else the machine's own Node if it is new enough. */
function nodeToUse() {
  const pinned = join(projectBin, 'node')
  if (spawnSync(pinned, ['--version']).status === 0) return pinned
  if (nodeVersion >= NODE_MAJOR) return process.execPath
  return fail(
    `no packaged Node ${NODE_MAJOR} exists for ${process.platform}-${process.arch}, and the installed Node is ` +
      `${process.version}. Install Node ${NODE_MAJOR} or newer and run the command again.`,
  )
}

/** Runs the program in the foreground; this process ends with its exit code. */
function run(command, args) {
  const path = [projectBin, toolsBin, process.env.PATH].join(delimiter)
  const quiet = { TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' }
  const env = { ...process.env, ...quiet, PATH: path, TIDEMARK_PARENT: String(process.pid) }
  const child = spawn(command, args, { cwd: root, stdio: 'inherit', env })
  // Ctrl-C reaches the whole group, but a supervisor signals only this process: forward and wait.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  // If npm is killed, this process is not signalled, but it gets another parent.
  const parent = process.ppid
  if (process.env.npm_lifecycle_event !== undefined) {
    setInterval(() => process.ppid !== parent && child.kill('SIGTERM'), 1000).unref()
  }
  child.on('error', error => fail(`cannot run ${command}: ${error.message}`))
  child.on('exit', (code, signal) => {
    // A killed program cannot restore the terminal: leave the alternate screen and show the cursor.
    if (process.stdout.isTTY && signal === 'SIGKILL') process.stdout.write('\x1b[?1049l\x1b[?25h')
    process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal]
  })
}

const [first, ...rest] = process.argv.slice(2)
if (first === undefined) fail('usage: node tools/bootstrap.mjs SCRIPT.ts [ARG...] | --run BIN [ARG...] | --install')
if (process.platform === 'win32') fail('Windows is not supported; use the same command in WSL')
if (nodeVersion < NODE_MAJOR_MIN) fail(`Node ${NODE_MAJOR_MIN} or newer is required; this is ${process.version}`)
installOnce()
if (first === '--run') run(join(projectBin, rest[0] ?? ''), rest.slice(1))
else if (first !== '--install') run(nodeToUse(), [first, ...rest])
