import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'
import { atExit } from './lifecycle.ts'
import { createLineWriter } from './line-writer.ts'
import { redact } from './secrets.ts'

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

const STDOUT = 1

/** How many causes of an error are logged. */
const CAUSES_MAX = 5

/**
 * Logs JSON lines, which no input can forge. Few log collectors know pino's level numbers. Each
 * line is written without the `secrets`, whatever a library put into its messages.
 */
export function createLogger(
  service: string,
  level: LogLevel,
  { stream, secrets = [] }: { readonly stream?: DestinationStream; readonly secrets?: readonly string[] } = {},
): Logger {
  const options: LoggerOptions = {
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
    serializers: { err: serializeError },
    hooks: { streamWrite: line => redact(line, secrets) },
  }
  return pino(options, stream ?? standardOutput())
}

/** A process that is killed loses the lines of its last milliseconds. */
function standardOutput(): DestinationStream {
  const writer = createLineWriter(STDOUT)
  atExit(writer.flushSync)
  return writer
}

/**
 * An error whose message says to an operator what is wrong and what to do. It is logged without its
 * stack, which points at no mistake in the code.
 */
export interface OperatorError extends Error {
  readonly isForOperator: true
}

/**
 * Serializes an error's name, message and stack with those of its causes, and nothing else: the
 * errors of a Redis client carry the arguments of their command, which may be a password.
 */
export function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const isForOperator = 'isForOperator' in error
  const chain = [error]
  for (let { cause } = error; cause instanceof Error && chain.length < CAUSES_MAX; { cause } = cause) chain.push(cause)
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {}
  return {
    type: error.name,
    message: isForOperator ? error.message : chain.map(({ message }) => message).join(': '),
    ...code,
    ...(isForOperator ? {} : { stack: chain.map(({ stack }) => stack).join('\ncaused by: ') }),
  }
}

/** Time between logs of the same failure: calls can fail many times a second. */
const REPEAT_MS = 5000

const KINDS_MAX = 100

/**
 * Logs a failure, at most every 5 s for each kind (what failed, and the error's message). `repeats`
 * counts those of its kind that were not logged since the last line.
 */
export type FailureLog = (error: unknown, what: string, fields?: Readonly<Record<string, unknown>>) => void

export function createFailureLog(
  log: Logger,
  now: () => number = () => performance.now(),
  level: 'warn' | 'error' = 'warn',
): FailureLog {
  const kinds = new Map<string, { readonly loggedAt: number; repeats: number }>()
  return (error, what, fields = {}) => {
    const kind = `${what}: ${error instanceof Error ? error.message : String(error)}`
    const last = kinds.get(kind)
    if (last !== undefined && now() - last.loggedAt < REPEAT_MS) {
      last.repeats++
      return
    }
    if (kinds.size >= KINDS_MAX) kinds.clear()
    kinds.set(kind, { loggedAt: now(), repeats: 0 })
    log[level]({ err: error, ...fields, ...(last === undefined ? {} : { repeats: last.repeats }) }, what)
  }
}
