import { spawn } from 'node:child_process'
import { platform } from 'node:os'

const COMMANDS: Readonly<Partial<Record<NodeJS.Platform, string>>> = { darwin: 'open', linux: 'xdg-open' }

/** Opens a page in the browser of the desktop. Where there is none, the printed address remains. */
export function openBrowser(url: string): void {
  const command = COMMANDS[platform()]
  if (command === undefined) return
  const child = spawn(command, [url], { stdio: 'ignore', detached: true })
  child.on('error', () => {})
  child.unref()
}
