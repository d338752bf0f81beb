import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import type { Body, BodyTypeOf } from '../http/body.ts'
import type { PlainResponse } from '../http/problem.ts'
import type { ProtocolName, SkipReason } from '../metrics.ts'
import type { Batch, BodyFault, Naming, Rejection } from './formats/batch.ts'

/**
 * How clients of one protocol send samples, and the responses that they expect. Everything between
 * the body and the response is the same for all: admission, limits, the batcher and the receipts.
 * Faults beyond `respond` have the form that the route declares (protocols/fault-formats.ts).
 */
export interface Protocol {
  /** The label of its metrics. */
  readonly name: ProtocolName
  /** Throws a RequestFault for a body that the protocol does not have. */
  readonly typeOf: BodyTypeOf
  readonly nameOf: Naming
  /** Adds the samples of a body, what it rejects and what it skips to the batch. */
  readonly read: (body: Body, batch: Batch) => BodyFault
  /** Returns the response once all valid samples are stored. May throw a RequestFault. */
  readonly respond: (result: IngestResult) => PlainResponse
}

/** What became of a request all of whose valid samples are stored. */
export interface IngestResult {
  readonly accepted: number
  readonly rejections: readonly Rejection[]
  readonly skipped: ReadonlyMap<SkipReason, number>
  readonly receipts: readonly string[]
  readonly durability: DurabilityLevel
  /** The prefix that the client's API key is bound to. */
  readonly keyPrefix: string
}
