import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { ROOT } from './project.ts'

const VERSION = '5.0.7'

/** The flows and nodes of Node-RED, without its editor. */
const PACKAGES = ['@node-red/runtime', '@node-red/nodes']

const OWN = join(ROOT, '.tools', 'node-red', VERSION)

const INSTALL_LIMIT_MS = 300_000

/** Returns the folder of a Node-RED that was downloaded for the tests. */
export function findNodeRed(): string | undefined {
  return existsSync(OWN) ? OWN : undefined
}

/** Downloads Node-RED into .tools; the system is not changed. */
export async function fetchNodeRed(): Promise<void> {
  const folder = dirname(OWN)
  mkdirSync(folder, { recursive: true })
  const download = mkdtempSync(join(folder, 'download-'))
  try {
    // Not a dependency: every installation would download its 230 packages of 80 MB.
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund']
    const packages = PACKAGES.map(name => `${name}@${VERSION}`)
    await promisify(execFile)('npm', ['install', '--prefix', download, ...flags, ...packages], {
      timeout: INSTALL_LIMIT_MS,
    })
    // Renamed when it is complete, so that no other process runs a half of it.
    renameSync(download, OWN)
  } finally {
    rmSync(download, { recursive: true, force: true })
  }
}
