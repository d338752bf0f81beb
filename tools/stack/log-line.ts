import type { LogLevel } from '@tidemark/shared/runtime/logger'

const QUIET_LEVELS: readonly unknown[] = ['trace', 'debug', 'info'] satisfies readonly LogLevel[]

/**
 * Returns the message and error of a log line that is a warning, else undefined. A line that is
 * not from the logger is a warning: Node writes its own errors as plain text.
 */
export function warningIn(line: string): string | undefined {
  try {
    const { level, msg, err } = JSON.parse(line) as Record<string, unknown>
    if (typeof msg !== 'string') return line
    if (QUIET_LEVELS.includes(level)) return undefined
    return typeof err === 'object' && err !== null && 'message' in err ? `${msg}: ${err.message}` : msg
  } catch {
    return line
  }
}
