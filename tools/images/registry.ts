import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** How this computer reaches the npm registry. None of it may get into an image. */
export interface Registry {
  readonly host: string
  /** Files; undefined where there is none. */
  readonly npmrc: string | undefined
  readonly certificates: string | undefined
  /** Tokens and passwords. */
  readonly secrets: readonly string[]
}

export async function readRegistry(): Promise<Registry> {
  const [registry, npmrc, cafile] = await Promise.all(['registry', 'userconfig', 'cafile'].map(npmSetting))
  if (registry === undefined) throw new Error('npm does not say which registry it uses')
  const text = npmrc === undefined ? '' : await readFile(npmrc, 'utf8').catch(() => '')
  const secrets = [...text.matchAll(/_(?:authToken|auth|password)\s*=\s*"?([^"\s]+)/g)].map(([, secret = '']) => secret)
  return {
    host: new URL(registry).host,
    npmrc: text === '' ? undefined : npmrc,
    certificates: process.env.NODE_EXTRA_CA_CERTS ?? cafile,
    secrets,
  }
}

async function npmSetting(name: string): Promise<string | undefined> {
  const { stdout } = await run('npm', ['config', 'get', name])
  const value = stdout.trim()
  return value === '' || value === 'null' || value === 'undefined' ? undefined : value
}
