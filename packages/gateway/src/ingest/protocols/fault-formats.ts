import type { FaultFormat } from '../../http/problem.ts'
import { INFLUX_FAULTS } from './influx/routes.ts'

/** The routes whose clients expect errors in the form of their protocol, not as problems. */
export const FAULT_FORMATS: ReadonlyMap<string, FaultFormat> = new Map([...INFLUX_FAULTS])
