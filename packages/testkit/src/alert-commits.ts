import assert from 'node:assert/strict'
import { alertId } from '@tidemark/shared/detection/alerts/openings'
import type { AlertEnd, AlertOpening, AnomalyEvidence } from '@tidemark/shared/detection/alerts/record'
import { type Checkpoint, NO_RULE_EFFECTS } from '@tidemark/shared/store/ports/commit'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Store } from '@tidemark/shared/store/ports/store'

const EVIDENCE: AnomalyEvidence = {
  detector: 'zscore',
  value: 93.1,
  score: 9.19,
  by: 'instant',
  line: 6,
  samples: 2,
  of: 2,
  low: 15.9,
  high: 15.9,
  spread: 8.4,
  window: 50,
}

/** Returns the opening of a key's alert: of an anomaly alert, unless `changes` says otherwise. */
export function openingOf(
  place: { readonly partition: number; readonly key: string; readonly at: number },
  changes: Partial<AlertOpening> = {},
): AlertOpening {
  const { partition, key, at } = place
  const id = alertId({ partition, kind: 'anomaly', key, count: 51, time: at })
  const cause = { kind: 'anomaly', evidence: EVIDENCE } as const
  return { id, key, rule: null, severity: 'warning', opened_at: at, cause, ...changes }
}

/** Opens and ends alerts by a commit without samples, on a partition without entries. */
export async function commitAlerts(
  store: Store,
  lease: Lease,
  changes: {
    readonly opened?: readonly AlertOpening[]
    readonly openedBefore?: number
    readonly waitMs?: number
    readonly ended?: readonly { readonly opening: AlertOpening; readonly at: number }[]
  },
): Promise<void> {
  const { opened = [], ended = [], openedBefore = 0, waitMs = 0 } = changes
  const at: Checkpoint = { id: '0-0', offset: 0 }
  const outcome = await store.analyzer.commit(lease, {
    ...NO_RULE_EFFECTS,
    from: at,
    to: at,
    entries: [],
    witness: undefined,
    analysed: 0,
    dead: 0,
    rulesVersion: 0,
    keys: [],
    anomalies: [],
    deadLetters: [],
    verdicts: [],
    keepFrom: undefined,
    alerts: {
      opened: opened.map(opening => ({ opening, openedBefore, notifyAfterMs: waitMs })),
      ended: ended.map(({ opening, at: resolvedAt }) => {
        const end: AlertEnd = { resolved_at: resolvedAt, resolve_reason: 'calm', peak: null }
        const { id, key, cause, opened_at: openedAt } = opening
        return { id, key: key ?? '', cause: cause.kind, openedAt, end }
      }),
    },
  })
  assert.equal(outcome.kind, 'ok')
}
