import { ConfigError } from '@tidemark/shared/runtime/config'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { formatCount } from '../lib/format.ts'
import { Failure, runCommand } from '../lib/options.ts'
import { buildConsole } from '../stack/console.ts'
import { watchInterrupts } from '../stack/interrupts.ts'
import { launch } from '../stack/launch.ts'
import type { Stack } from '../stack/stack.ts'
import { openBrowser } from './browser.ts'
import { openFile, previewFile } from './csv-file.ts'
import { runFeed } from './feed.ts'
import { COMMAND, readOptions, type StartOptions } from './options.ts'
import { runDryRun, runReplay } from './replay.ts'

/** How long a crash may take to be noticed after its consequences. */
const CRASH_NOTICE_MS = 300

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => start(readOptions(args, process.env)))

async function start(options: StartOptions): Promise<number> {
  using interrupts = watchInterrupts()
  const { stop } = interrupts
  try {
    await using resources = new AsyncDisposableStack()
    // Before anything starts, so that a wrong name is reported at once.
    const file = options.csv === undefined ? undefined : resources.use(await openFile(options.csv))
    if (file !== undefined && options.isDryRun) return await runDryRun(file, options.csvOptions)
    if (file !== undefined) for (const line of await previewFile(file, options.csvOptions)) say(line)
    await buildConsole().catch((error: unknown) => say(`the console could not be built: ${error}`))
    const warnings = { show: say }
    const settings = { ...options, env: process.env, onWarning: (text: string) => warnings.show(text) }
    const stack = resources.use(await launch(settings, stop))
    interrupts.onHurry(() => stack.kill())
    resources.defer(() => say('stopping ...'))
    say(`${stack.redis}; ${formatCount(options.analyzers)} ${options.analyzers === 1 ? 'analyzer' : 'analyzers'}`)
    say(`the gateway is at ${stack.url}`)
    say(`the console is at ${stack.url}/`)
    if (options.isOpened) openBrowser(stack.url)
    return await untilCrash(stack, ended => {
      const context = { stack, options, stop: AbortSignal.any([stop, ended]), warnings }
      return file === undefined ? runFeed(context) : runReplay(context, file)
    })
  } catch (error) {
    if (stop.aborted && !(error instanceof Failure)) return 0
    const isForUser = error instanceof Failure || error instanceof ConfigError
    // Anything else is a bug in Tidemark, and its stack trace is needed to fix it.
    say(error instanceof Error ? (isForUser ? error.message : (error.stack ?? error.message)) : String(error))
    return 1
  }
}

/** Does `work` and ends it with the crash, if a process of the stack dies, as its error. */
async function untilCrash(stack: Stack, work: (ended: AbortSignal) => Promise<number>): Promise<number> {
  const crash = new AbortController()
  stack.crashed.catch((error: unknown) => crash.abort(error))
  try {
    const code = await work(crash.signal)
    crash.signal.throwIfAborted()
    return code
  } catch (error) {
    // A connection breaks shortly before its process is known to be dead.
    await pause(CRASH_NOTICE_MS, crash.signal)
    crash.signal.throwIfAborted()
    throw error
  }
}

function say(text: string): void {
  process.stderr.write(`tidemark: ${text}\n`)
}
