import { formatCount } from '../lib/format.ts'
import type { LoadResult } from './load.ts'
import {
  anomaliesTable,
  detectionSentence,
  detectionTable,
  loadTable,
  machineSentence,
  percent,
  pictureLine,
  routesTable,
} from './run-report.ts'
import { countPhases, type StreamResult } from './stream.ts'

export interface ReportParts {
  readonly date: string
  readonly command: string
  /** All loads, in the order of the table. */
  readonly loads: readonly LoadResult[]
  /** The one that is shown in full. */
  readonly main: LoadResult
  readonly stream: StreamResult
  readonly streamPicture: string | undefined
  /** From the page to its pictures. */
  readonly imagesFolder: string
}

/** docs/report.md. */
export function reportPage(parts: ReportParts): string {
  const { date, command, loads, main, stream, streamPicture, imagesFolder } = parts
  const { summary } = main
  const show = (name: string, caption: string): string => pictureLine({ name: `${imagesFolder}/${name}`, caption })
  return `${[
    '# Load report',
    `The report of the replaced service, with Tidemark's figures. \`${command}\` makes the runs (${date}) and writes this page and its pictures; edit ` +
      `tools/load/report-page.ts instead. What each load is: [locust/README.md](../locust/README.md).`,
    '## Under load',
    'Nine in ten requests are `POST /ingest` with a report of two samples, one is `GET /analyze`. Average and p95 are of all answers, the p95 of the slowest route. ' +
      'The target of a ramp or a spike is the mean of its run.',
    loadTable(loads),
    `Redis writes an append-only file, synced every second. The rows one by one:\n\n${loads.map(of => `    ${commandOf(of)}`).join('\n')}`,
    machineSentence(main),
    `### ${formatCount(summary.rps)} requests a second for ${summary.seconds} s`,
    summary.missed.length === 0
      ? 'Every threshold was reached.'
      : `Missed thresholds:\n\n${summary.missed.map(sentence => `- ${sentence}`).join('\n')}`,
    routesTable(summary),
    ...main.pictures.map(({ name, caption }) => show(name, caption)),
    '## Detection, while under load',
    `${detectionSentence(summary)} Precision counts samples: of those flagged, how many were labelled as anomalous. Recall counts anomalies: of those there were, ` +
      'how many had a sample flagged. The detector is the default one: whatever is two deviations off.',
    detectionTable(summary),
    anomaliesTable(summary),
    '## A stable stream and a burst',
    `Samples through \`POST /ingest\` as \`{"timestamp", "cpu", "rps"}\`, one after the other, each verdict read by its receipt. After ${formatCount(stream.points.filter(({ phase }) => phase === 'stable').length)} ` +
      `values drawn evenly from 400 to 450 \`GET /analyze\` says \`rps_avg\` ${stream.answer.rps_avg.toFixed(2)}; the truth is ${stream.truth.expected}, and the mean of the ` +
      `${stream.answer.window} values that it rests on ${stream.truth.ofWindow.toFixed(2)}.`,
    phasesTable(stream),
    ...(streamPicture === undefined ? [] : [show(streamPicture, 'the stable stream and the burst')]),
  ].join('\n\n')}\n`
}

/** The command that repeats one row. */
export function commandOf({ summary: { shape, rps, seconds }, analyzers }: LoadResult): string {
  return `npm run load -- --stack --analyzers ${analyzers} --shape ${shape} --rps ${rps} --seconds ${seconds}`
}

function phasesTable(stream: StreamResult): string {
  const names = { stable: '400 to 450', burst: 'burst to 900', after: '400 to 450 again' }
  const rows = countPhases(stream).map(
    ({ phase, judged, flagged, firstZ, maxZ }) =>
      `| ${names[phase]} | ${judged} | ${flagged} (${percent(flagged / judged)}) | ${firstZ.toFixed(1)} | ${maxZ.toFixed(1)} |`,
  )
  return [
    '| stream | judged | flagged | size of z of its first sample | greatest |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}
