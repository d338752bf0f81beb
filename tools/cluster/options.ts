import { resolve } from 'node:path'
import { type Command, choice, commaSeparated, custom, flag, integer, parseCommandLine, text } from '../lib/options.ts'
import { ROOT } from '../lib/project.ts'
import { SHAPES } from '../load/options.ts'

/** What can be tried on a running deployment, in this order. */
export const EXERCISES = ['verdicts', 'kill', 'drain', 'rollout', 'load', 'restore'] as const
export type Exercise = (typeof EXERCISES)[number]

const OVERLAY = 'k8s/overlays/local'

export const COMMAND = {
  call: 'npm run cluster --',
  summary:
    'Deploys Tidemark to a Kubernetes cluster and tries what production does: load, crashes, a drained node, a rollout, a restore.',
  details:
    'It checks what the cluster offers, loads the images (kind, minikube, k3d, k3s), applies an overlay with generated Secrets, ' +
    'sends samples through the way in and checks their verdicts while pods are killed and replaced, runs Locust inside ' +
    'the cluster and records both autoscalers, and restores a backup. It prints a table and writes docs/cluster.md with ' +
    'its plots. The exit code is 1 if anything failed. The deployment stays until --down.',
  options: {
    context: text({ placeholder: 'NAME', help: "the context of the kubeconfig (default: kubectl's current one)" }),
    overlay: text({ placeholder: 'FOLDER', default: OVERLAY, help: 'the kustomization to apply' }),
    url: custom({
      placeholder: 'URL',
      help: 'the way in, such as http://streaming.local (default: a port-forward to the Service gateway)',
      form: 'an address like http://streaming.local',
      parse: (given: string) => (/^https?:\/\/[^/]+\/?$/.test(given) ? given.replace(/\/$/, '') : undefined),
    }),
    only: commaSeparated(
      choice(EXERCISES, { placeholder: 'A,B', help: `only some of: ${EXERCISES.join(', ')}; in this order` }),
    ),
    rps: integer({
      min: 10,
      max: 100_000,
      default: 500,
      help: 'requests/s of the load; for ramp and spike the maximum',
    }),
    seconds: integer({ min: 10, max: 86_400, default: 300, help: 'the duration of each load' }),
    shapes: commaSeparated(
      choice(SHAPES, {
        placeholder: 'A,B',
        help: 'the shapes of the load, one after the other (default steady,ramp,spike)',
      }),
    ),
    settle: integer({
      min: 0,
      max: 3600,
      default: 420,
      help: 'seconds after the last load in which the autoscalers are recorded: they scale down after five minutes',
    }),
    next: text({ placeholder: 'TAG', help: 'the image tag to roll out and back (default: restart the same one)' }),
    out: text({ placeholder: 'FOLDER', help: 'where the page and its plots go (default docs; with --only nowhere)' }),
    down: flag('remove the deployment with its namespace and its data, and nothing else'),
  },
  notes:
    'It only touches a namespace that it created itself. Docker is needed where images are loaded; elsewhere the ' +
    "cluster must be able to pull the overlay's images.",
  examples: ['', '--context kind-tidemark --seconds 60', '--only verdicts,kill', '--context kind-tidemark --down'],
} satisfies Command

export type ClusterOptions = ReturnType<typeof readOptions>

export function readOptions(args: readonly string[]) {
  const { only, shapes, overlay, out, ...values } = parseCommandLine(COMMAND, args).values
  return {
    ...values,
    overlay: resolve(ROOT, overlay),
    /** Undefined: no page. The one in docs needs the figures of all exercises. */
    out: out === undefined && only.length > 0 ? undefined : resolve(ROOT, out ?? 'docs'),
    exercises: only.length === 0 ? EXERCISES : EXERCISES.filter(one => only.includes(one)),
    shapes: shapes.length === 0 ? (['steady', 'ramp', 'spike'] as const) : shapes,
  }
}
