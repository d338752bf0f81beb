import { DETECTOR_NAMES } from '@tidemark/shared/detection/detectors/registry'
import { CSV_OPTIONS, csvOptionsOf } from '../lib/csv/options.ts'
import { type Command, choice, parseCommandLine, repeated, text, UsageError } from '../lib/options.ts'

export const COMMAND = {
  call: 'npm run backtest --',
  summary:
    'Runs recorded samples through the detection code of production, and shows what it would have flagged and alerted on.',
  operands: 'FILE.csv|FOLDER',
  details:
    'Encoding, delimiter, header, columns and formats of a CSV file are detected and shown; options replace each of ' +
    'these decisions. If a folder is given, every .csv file in and below it is run; a file that cannot be read is named, ' +
    'and the others are run.',
  options: {
    detector: repeated(
      choice([...DETECTOR_NAMES, 'all'], {
        placeholder: 'NAME',
        help: `a detector with its defaults: ${DETECTOR_NAMES.join(', ')} or all (default zscore, without --rules)`,
      }),
    ),
    rules: repeated(
      text({ placeholder: 'FILE', help: 'the rules in a JSON file: a rule, an array of rules or {"rules": [...]}' }),
    ),
    labels: text({
      placeholder: 'FILE',
      help:
        'the time ranges of real anomalies: {"file.csv": [["start", "end"], ...]}, [["start", "end"], ...] or a CSV ' +
        'file of lines start,end. Adds precision, recall and delay to the table',
    }),
    scores: text({
      placeholder: 'OUT.csv',
      help:
        'write timestamp,value,anomaly_score for each row: 0 to 1, 0.5 at the threshold, 0 while warming. For a ' +
        'folder, OUT is a folder. Requires a single detector or rules file',
    }),
    plot: text({
      placeholder: 'OUT.png',
      help: 'plot values, normal range, flagged samples and alerts; as HTML if the name is OUT.html. For a folder, OUT is a folder',
    }),
    ...CSV_OPTIONS,
  },
  notes:
    'The exit code is 0 if every file had samples, 1 if one had none or could not be read, and 2 for an invalid command ' +
    'line. Refused lines are counted and described, and do not change it. docs/rules.md describes the rules.',
  examples: [
    'cpu.csv',
    'cpu.csv --detector all --labels faults.json',
    'cpu.csv --detector novelty --rules quieter.json --plot cpu.html',
    'recordings --detector habit --scores scores',
    'export.csv --dry-run',
    'export.csv --time Date,Time --value cpu,mem --key host',
  ],
} satisfies Command

export type BacktestOptions = ReturnType<typeof readOptions>

export function readOptions(args: readonly string[]) {
  const { values, operands } = parseCommandLine(COMMAND, args)
  const { rules, labels, scores, plot } = values
  const [input, extra] = operands
  if (input === undefined) throw new UsageError('A CSV file or a folder is required')
  if (extra !== undefined) {
    throw new UsageError(`Unexpected argument '${extra}': give one file, or the folder that contains the files`)
  }
  const detectors = new Set(values.detector.flatMap(name => (name === 'all' ? DETECTOR_NAMES : [name])))
  if (detectors.size === 0 && rules.length === 0) detectors.add('zscore')
  if (scores !== undefined && detectors.size + rules.length > 1) {
    throw new UsageError('--scores requires a single --detector or --rules: it writes one column of scores')
  }
  const csv = csvOptionsOf(values)
  return { input, csv, isDryRun: values['dry-run'], rules, detectors: [...detectors], labels, scores, plot }
}
