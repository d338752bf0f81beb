import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, custom, parseCommandLine, runCommand, text } from '../lib/options.ts'
import { CHART, renderChart } from './chart.ts'
import * as objects from './operator-objects.ts'

const { namespace, runbook } = objects.PLACE_DEFAULT

const COMMAND = {
  call: 'npm run manifests --',
  summary: 'Writes the rules and routes of k8s/components/monitoring, and the templates of the Helm chart.',
  details:
    'The rules select the series of one namespace, and link to the runbook. The console of every gateway has one; copy ' +
    'docs/runbook.md to where it can be read while the gateways are down, and name that place.',
  options: {
    namespace: custom({
      placeholder: 'NAME',
      default: namespace,
      help: `the namespace of the deployment (default ${namespace})`,
      form: 'the name of a namespace',
      parse: (given: string) => (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(given) ? given : undefined),
    }),
    runbook: text({
      placeholder: 'URL',
      default: runbook,
      help: 'what the name of an alert in lower case is appended to, for runbook_url',
    }),
  },
  examples: ['--namespace metrics --runbook https://wiki.example.com/tidemark/runbook#'],
} satisfies Command

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const { values } = parseCommandLine(COMMAND, process.argv.slice(2))
  for (const [file, text] of [
    [objects.RULES_OUTPUT, objects.renderPrometheusRules(values)],
    [objects.ALERTMANAGER_OUTPUT, objects.renderAlertmanagerConfig()],
  ] as const) {
    writeFileSync(file, text)
    process.stdout.write(`${file}\n`)
  }
  // After those, because it is made from them.
  for (const [name, text] of renderChart()) writeFileSync(join(CHART, 'templates', name), text)
  process.stdout.write(`${CHART}\n`)
  return 0
}
