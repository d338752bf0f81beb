import { ConfigError } from '@tidemark/shared/runtime/config'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { formatCount } from '../lib/format.ts'
import { watchInterrupts } from '../stack/interrupts.ts'
import { launch } from '../stack/launch.ts'
import { type Stack, StartFailure } from '../stack/stack.ts'
import { openFile } from './csv-file.ts'
import { HELP, parseCommand, type StartOptions } from './options.ts'
import { runFeed } from './run-feed.ts'
import { runReplay } from './run-replay.ts'

const EXIT_FAILED = 1
const EXIT_USAGE = 2
const CRASH_NOTICE_MS = 300

const command = parseCommand(process.argv.slice(2), process.env)
switch (command.kind) {
  case 'help':
    process.stdout.write(HELP)
    break
  case 'wrong':
    process.stderr.write(`tidemark: ${command.reason}.\nThe options are shown by: npm start -- --help\n`)
    process.exitCode = EXIT_USAGE
    break
  case 'start':
    process.exitCode = await start(command.options)
}

/** Runs until Ctrl-C, or until the file is replayed; returns the exit code. */
async function start(options: StartOptions): Promise<number> {
  using interrupts = watchInterrupts()
  const { stop } = interrupts
  try {
    await using resources = new AsyncDisposableStack()
    // Before anything is started: a wrong name should be said at once.
    const file = options.csv === undefined ? undefined : resources.use(await openFile(options.csv))
    let onWarning = (text: string): void => say(text)
    const stack = resources.use(
      await launch({ ...options, env: process.env, onWarning: text => onWarning(text) }, stop),
    )
    interrupts.onHurry(() => stack.kill())
    resources.defer(() => say('stopping ...'))
    say(`${stack.redis}; ${formatCount(options.analyzers)} ${options.analyzers === 1 ? 'analyzer' : 'analyzers'}`)
    say(`the gateway is at ${stack.url}`)
    const setOnWarning = (listener: typeof onWarning): void => {
      onWarning = listener
    }
    return await untilCrash(stack, ended => {
      const context = { stack, options, stop: AbortSignal.any([stop, ended]), setOnWarning }
      return file === undefined ? runFeed(context) : runReplay(context, file)
    })
  } catch (error) {
    if (stop.aborted && !(error instanceof StartFailure)) return 0
    report(error)
    return EXIT_FAILED
  }
}

/** Does `work` and ends it when a part of the stack dies; that is then the error, whatever it led to in the work. */
async function untilCrash(stack: Stack, work: (ended: AbortSignal) => Promise<number>): Promise<number> {
  const crash = new AbortController()
  stack.crashed.catch((error: unknown) => crash.abort(error))
  try {
    const code = await work(crash.signal)
    crash.signal.throwIfAborted()
    return code
  } catch (error) {
    // A connection breaks a moment before its process is known to be dead.
    await pause(CRASH_NOTICE_MS, crash.signal)
    crash.signal.throwIfAborted()
    throw error
  }
}

function report(error: unknown): void {
  const isForUser = error instanceof StartFailure || error instanceof ConfigError
  // Anything else is a fault in Tidemark, and whoever mends it wants to see all of it.
  const text = error instanceof Error ? (isForUser ? error.message : (error.stack ?? error.message)) : String(error)
  say(text)
}

function say(text: string): void {
  process.stderr.write(`tidemark: ${text}\n`)
}
