import type { LogLevel } from '@tidemark/shared/runtime/logger'

const QUIET_LEVELS: readonly unknown[] = ['trace', 'debug', 'info'] satisfies readonly LogLevel[]

export interface LogLine {
  readonly isWarning: boolean
  readonly message: string | undefined
  readonly port: number | undefined
  /** The message and, where there is one, the error. */
  readonly text: string
}

/** What a service's log line says. Not every line is from its logger: Node's own are plain text and mean trouble. */
export function parseLogLine(line: string): LogLine {
  const plain: LogLine = { isWarning: true, message: undefined, port: undefined, text: line }
  if (!line.startsWith('{')) return plain
  try {
    const { level, msg, port, err } = JSON.parse(line) as Record<string, unknown>
    if (typeof msg !== 'string') return plain
    const error = typeof err === 'object' && err !== null && 'message' in err ? `: ${err.message}` : ''
    return {
      isWarning: !QUIET_LEVELS.includes(level),
      message: msg,
      port: typeof port === 'number' ? port : undefined,
      text: msg + error,
    }
  } catch {
    return plain
  }
}
