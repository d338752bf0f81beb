import { parseArgs } from 'node:util'
import { wrap } from './format.ts'

/** The exit code of a program that failed, and of an invalid command line. */
const EXIT_FAILED = 1
const EXIT_USAGE = 2

const HELP_WIDTH = 100
const DESCRIPTION_COLUMN_MAX = 22

/** An invalid command line. The message names the option and what it takes. */
export class UsageError extends Error {}

/** A failure that the user can fix: its message needs no stack trace. */
export class Failure extends Error {}

/** One option: how it appears in `--help`, and how its text becomes a value. */
export interface Option<T> {
  /** What stands for the value in `--help`, such as FILE; undefined for a flag. */
  readonly placeholder: string | undefined
  readonly help: string
  readonly short?: string | undefined
  readonly isRepeated: boolean
  readonly fallback: T
  /** Completes "--name must be ..." in an error message. */
  readonly form: string
  parse(text: string): T | undefined
}

export type Options = Readonly<Record<string, Option<unknown>>>

export type Values<O extends Options> = {
  readonly [Name in keyof O]: O[Name] extends Option<infer T> ? T : never
}

/** A program's command line: what `--help` prints, and what is parsed. */
export interface Command<O extends Options = Options> {
  /** How the program is called, such as `npm run load --`. */
  readonly call: string
  readonly summary: string
  /** Paragraphs between the summary and the options. */
  readonly details?: string
  /** What follows the options in the usage line, such as FILE or `-- ARGUMENTS`. */
  readonly operands?: string
  readonly options: O
  readonly notes?: string
  /** Arguments of complete calls. */
  readonly examples: readonly string[]
}

export interface Parsed<O extends Options> {
  readonly values: Values<O>
  readonly operands: readonly string[]
  /** The arguments after `--`. */
  readonly rest: readonly string[]
}

interface Described<D> {
  readonly help: string
  readonly short?: string
  readonly default?: D
}

type Placeholder = { readonly placeholder: string }
type Range = { readonly min: number; readonly max: number }

export function flag(help: string, short?: string): Option<boolean> {
  return { placeholder: undefined, help, short, isRepeated: false, fallback: false, form: '', parse: () => true }
}

export function integer<D extends number | undefined = undefined>(spec: Described<D> & Range): Option<number | D> {
  return inRange('an integer', /^\d{1,15}$/, spec)
}

export function number<D extends number | undefined = undefined>(spec: Described<D> & Range): Option<number | D> {
  return inRange('a number', /^\d+(\.\d+)?$/, spec)
}

export function choice<const C extends string, const D extends C | undefined = undefined>(
  choices: readonly C[],
  spec: Described<D> & Placeholder,
): Option<C | D> {
  const parse = (text: string): C | undefined => choices.find(one => one === text)
  return custom({ ...spec, form: `one of ${choices.join(', ')}`, parse })
}

export function text<D extends string | undefined = undefined>(spec: Described<D> & Placeholder): Option<string | D> {
  return custom({ ...spec, form: 'a text that is not empty', parse: given => (given === '' ? undefined : given) })
}

/** A value with a syntax of its own. `form` completes "--name must be ...". */
export function custom<T, D extends T | undefined = undefined>(
  spec: Described<D> & Placeholder & Pick<Option<T>, 'form' | 'parse'>,
): Option<T | D> {
  const { help, short, default: fallback, placeholder, form, parse } = spec
  const shown = fallback === undefined ? help : `${help} (default ${fallback})`
  return { placeholder, form, parse, help: shown, short, isRepeated: false, fallback: fallback as D }
}

function inRange<D extends number | undefined>(
  kind: string,
  pattern: RegExp,
  spec: Described<D> & Range,
): Option<number | D> {
  const { min, max } = spec
  const parse = (text: string): number | undefined => {
    const value = pattern.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? value : undefined
  }
  return custom<number, D>({ ...spec, placeholder: 'N', form: `${kind} from ${min} to ${max}`, parse })
}

/** An option that may be given several times; its values in their order. */
export function repeated<T>(option: Option<T>): Option<readonly NonNullable<T>[]> {
  const parse = (given: string): readonly NonNullable<T>[] | undefined => {
    const value = option.parse(given)
    return value === undefined || value === null ? undefined : [value]
  }
  return { ...option, help: `${option.help}; may be repeated`, isRepeated: true, fallback: [], parse }
}

/** A list in one argument, separated by commas. */
export function commaSeparated<T>(option: Option<T>): Option<readonly NonNullable<T>[]> {
  const parse = (given: string): readonly NonNullable<T>[] | undefined => {
    const values = given.split(',').map(part => option.parse(part.trim()))
    return values.every(value => value !== undefined && value !== null) ? (values as NonNullable<T>[]) : undefined
  }
  return { ...option, fallback: [], form: `a comma-separated list, each ${option.form}`, parse }
}

/** Parses arguments; throws a UsageError that names the first invalid one. */
export function parseCommandLine<O extends Options>(command: Command<O>, args: readonly string[]): Parsed<O> {
  const { own, rest } = split(args)
  const specs = Object.entries(command.options).map(([name, { placeholder, short, isRepeated }]) => {
    const type = placeholder === undefined ? 'boolean' : 'string'
    return [name, { type, multiple: isRepeated, ...(short === undefined ? {} : { short }) }] as const
  })
  let parsed: ReturnType<typeof parseArgs>
  try {
    parsed = parseArgs({ args: [...own], options: Object.fromEntries(specs), allowPositionals: true })
  } catch (error) {
    // Only the first sentence names the option; the rest explains arguments that begin with a dash.
    const message = error instanceof Error ? error.message : String(error)
    throw new UsageError(message.split('. ')[0] ?? message, { cause: error })
  }
  const [extra] = parsed.positionals
  if (extra !== undefined && command.operands === undefined) throw new UsageError(`Unexpected argument '${extra}'`)
  const read = ([name, option]: [string, Option<unknown>]) => [name, readValue(name, option, parsed.values[name])]
  const values = Object.fromEntries(Object.entries(command.options).map(read)) as Values<O>
  return { values, operands: parsed.positionals, rest }
}

/** Separates the program's own arguments from those after `--`. */
function split(args: readonly string[]) {
  const end = args.indexOf('--')
  return end < 0 ? { own: args, rest: [] } : { own: args.slice(0, end), rest: args.slice(end + 1) }
}

function readValue(name: string, option: Option<unknown>, given: unknown): unknown {
  if (given === undefined) return option.fallback
  if (typeof given === 'boolean') return given
  if (Array.isArray(given)) return given.flatMap(one => readValue(name, { ...option, isRepeated: false }, one))
  const value = option.parse(String(given))
  if (value === undefined) throw new UsageError(`--${name} must be ${option.form}, not '${given}'`)
  return value
}

/** Runs a program, or prints its help; returns the exit code. Prints a UsageError and a Failure. */
export async function runCommand(
  command: Command,
  args: readonly string[],
  run: () => Promise<number>,
): Promise<number> {
  const { own } = split(args)
  if (own.includes('--help') || own.includes('-h')) {
    process.stdout.write(formatHelp(command))
    return 0
  }
  try {
    return await run()
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`${error.message}. For all options: ${command.call} --help\n`)
      return EXIT_USAGE
    }
    if (!(error instanceof Failure)) throw error
    process.stderr.write(`${error.message}\n`)
    return EXIT_FAILED
  }
}

export function formatHelp(command: Command): string {
  const { call, summary, details, operands, options, notes, examples } = command
  const rows = [
    ...Object.entries(options).map(([name, option]) => [optionTitle(name, option), option.help] as const),
    ['-h, --help', 'show this text'] as const,
  ]
  const column = Math.min(DESCRIPTION_COLUMN_MAX, Math.max(...rows.map(([title]) => title.length))) + 4
  const lines = rows.flatMap(([title, help]) => {
    const [first = '', ...others] = wrap(help, HELP_WIDTH - column)
    const head = `  ${title}`
    const begin = head.length < column - 1 ? [head.padEnd(column) + first] : [head, ' '.repeat(column) + first]
    return [...begin, ...others.map(line => ' '.repeat(column) + line)]
  })
  const usage = `Usage: ${call} [options]${operands === undefined ? '' : ` ${operands}`}`
  const parts = [
    ...[summary, usage, details].map(paragraphs),
    `Options:\n${lines.join('\n')}`,
    paragraphs(notes),
    `Examples:\n${examples.map(example => `  ${`${call} ${example}`.replace(/(?: --)? *$/, '')}`).join('\n')}`,
  ]
  return `${parts.filter(part => part !== '').join('\n\n')}\n`
}

function optionTitle(name: string, { placeholder, short }: Option<unknown>): string {
  return `${short === undefined ? '' : `-${short}, `}--${name}${placeholder === undefined ? '' : ` ${placeholder}`}`
}

function paragraphs(given = ''): string {
  const texts = given.split('\n\n').map(paragraph => wrap(paragraph.replaceAll('\n', ' '), HELP_WIDTH).join('\n'))
  return texts.join('\n\n')
}
