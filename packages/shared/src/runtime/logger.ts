import { type DestinationStream, type Logger, pino } from 'pino'

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Logs JSON lines, which no input can forge. Few log collectors know pino's level numbers. */
export function createLogger(service: string, level: LogLevel, stream?: DestinationStream): Logger {
  const options = {
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  return stream === undefined ? pino(options) : pino(options, stream)
}

/** Time between logs of the same failure: calls can fail many times a second. */
const REPEAT_MS = 5000

const KINDS_MAX = 100

/** Logs a warning, at most every 5 s for each kind (what failed, and the error's message). */
export type FailureLog = (error: unknown, what: string, fields?: Readonly<Record<string, unknown>>) => void

export function createFailureLog(log: Logger, now: () => number = () => performance.now()): FailureLog {
  const loggedAt = new Map<string, number>()
  return (error, what, fields = {}) => {
    const kind = `${what}: ${error instanceof Error ? error.message : String(error)}`
    if (now() - (loggedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return
    if (loggedAt.size >= KINDS_MAX) loggedAt.clear()
    loggedAt.set(kind, now())
    log.warn({ err: error, ...fields }, what)
  }
}
