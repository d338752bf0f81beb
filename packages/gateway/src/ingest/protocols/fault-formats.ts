import type { FaultFormat } from '../../http/problem.ts'
import { INFLUX_FAULTS } from './influx/routes.ts'
import { OTLP_FAULTS } from './otlp/routes.ts'
import { remoteWriteFault } from './remote-write/responses.ts'
import { WRITE_PATH } from './remote-write/routes.ts'

/** The routes whose clients expect errors in the form of their protocol, not as problems. */
export const FAULT_FORMATS: ReadonlyMap<string, FaultFormat> = new Map([
  ...INFLUX_FAULTS,
  ...OTLP_FAULTS,
  [WRITE_PATH, remoteWriteFault],
])
