import { formatCount, paragraph } from '../lib/format.ts'
import { formatMarkdownTable } from '../lib/table.ts'
import { type ClusterFigures, clusterSection } from './cluster-section.ts'
import type { LoadResult } from './load.ts'
import {
  anomaliesTable,
  detectionSentence,
  detectionTable,
  loadTable,
  machineSentence,
  missedList,
  percent,
  pictureLine,
  routesTable,
} from './run-report.ts'
import { countPhases, type StreamResult } from './stream.ts'

export interface ReportParts {
  readonly date: string
  readonly command: string
  /** All loads, in the order of the table. The first is shown in full. */
  readonly loads: readonly LoadResult[]
  readonly cluster: ClusterFigures
  readonly stream: StreamResult
  readonly streamPicture: string
  /** The folder of the pictures, relative to the page. */
  readonly imagesFolder: string
}

/** The parts of docs/report.md, as `npm run report` measured them. */
export const REPORT_SOURCE = new URL('report.json', import.meta.url)

/** Returns docs/report.md. */
export function reportPage({
  date,
  command,
  loads,
  cluster,
  stream,
  streamPicture,
  imagesFolder,
}: ReportParts): string {
  const [main] = loads
  if (main === undefined) throw new Error('the report needs a load')
  const { summary } = main
  const show = (name: string, caption: string): string => pictureLine({ name: `${imagesFolder}/${name}`, caption })
  const stable = stream.points.filter(({ phase }) => phase === 'stable').length
  return `${[
    '# Load report',
    paragraph(
      `Throughput, latency and detection under load. \`${command}\` made the runs (${date}) and wrote this page and its`,
      'pictures: edit tools/load/report-page.ts instead. [locust/README.md](../locust/README.md) describes the loads.',
    ),
    '## Under load',
    paragraph(
      'Nine in ten requests are `POST /ingest` with a report of two samples, one is `GET /analyze`. Mean and error rate',
      'cover all responses; the p95 is that of the slowest route. The target of a ramp or a spike is the mean of its run.',
    ),
    loadTable(loads),
    `Redis writes an append-only file with fsync every second. The commands of the rows:\n\n${loads.map(of => `    ${commandOf(of)}`).join('\n')}`,
    machineSentence(main),
    `### ${formatCount(summary.rps)} requests/s for ${summary.seconds} s`,
    missedList(summary),
    routesTable(summary),
    ...main.pictures.map(({ name, caption }) => show(name, caption)),
    clusterSection(cluster),
    '## Detection under load',
    detectionSentence(summary),
    paragraph(
      'Precision counts samples: the share of flagged samples that were labelled as anomalous. Recall counts anomalies:',
      'the share with at least one flagged sample. The detector is the default one, which flags every value more than',
      'two deviations from the mean.',
    ),
    detectionTable(summary),
    anomaliesTable(summary),
    '## A stable stream and a burst',
    paragraph(
      'Samples are sent to `POST /ingest` as `{"timestamp", "cpu", "rps"}`, one after the other, and each verdict is read',
      `by its receipt. After ${formatCount(stable)} values, uniformly distributed from 400 to 450, \`GET /analyze\` returns`,
      `\`rps_avg\` ${stream.legacy.rps_avg.toFixed(2)}. The true mean is ${stream.truth.expected}, and the mean of the ${stream.legacy.window} values in the window`,
      `is ${stream.truth.ofWindow.toFixed(2)}.`,
    ),
    phasesTable(stream),
    show(streamPicture, 'the stable stream and the burst'),
  ].join('\n\n')}\n`
}

/** Returns the command that repeats one row. */
export function commandOf({ summary: { shape, rps, seconds }, analyzers }: LoadResult): string {
  return `npm run load -- --stack --analyzers ${analyzers} --shape ${shape} --rps ${rps} --seconds ${seconds}`
}

function phasesTable(stream: StreamResult): string {
  const names = { stable: '400 to 450', burst: 'burst to 900', after: '400 to 450 again' }
  return formatMarkdownTable(
    ['stream', 'scored', 'flagged', 'z of its first sample', 'max z'],
    countPhases(stream).map(({ phase, judged, flagged, firstZ, maxZ }) => [
      names[phase],
      judged,
      `${flagged} (${percent(flagged / judged)})`,
      firstZ.toFixed(1),
      maxZ.toFixed(1),
    ]),
  )
}
