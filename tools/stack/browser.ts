import { type Browser, chromium } from 'playwright-core'
import { findProgram } from '../lib/packages.ts'

export function findBrowser(): string | undefined {
  return findProgram('chromium', 'chromium-browser', 'google-chrome')
}

/** Starts a browser without a window. In a container Chromium's own sandbox cannot be used. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = findBrowser()
  if (executablePath === undefined) throw new Error('no Chromium is on PATH: install the package chromium')
  const args = ['--disable-gpu', '--force-color-profile=srgb', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])]
  return await chromium.launch({ executablePath, args })
}

/** Whether tests can use a browser. With CI=true a missing one is a failure. */
export function browserAvailable(): boolean {
  if (findBrowser() !== undefined) return true
  if (process.env.CI === 'true') throw new Error('no Chromium is on PATH: install the package chromium')
  return false
}
