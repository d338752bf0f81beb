import { Gauge, type Registry } from 'prom-client'
import manifest from '../../package.json' with { type: 'json' }

/** The version of Tidemark that runs. */
export const VERSION: string = manifest.version

/** Exports the version of a service as a series that is always 1. */
export function exportBuildInfo(registry: Registry, service: string): void {
  const gauge = new Gauge({
    name: `${service}_build_info`,
    help: 'Always 1: its label is the version of Tidemark.',
    labelNames: ['version'],
    registers: [registry],
  })
  gauge.set({ version: VERSION }, 1)
}
