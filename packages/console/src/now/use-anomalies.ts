import type { Analysis } from '@tidemark/client/types'
import { useMemo } from 'preact/hooks'
import { client } from '../api.ts'
import { type Resource, useResource } from '../resource.ts'

export const HOUR_MS = 3_600_000

/** They arrive by the feed too: this repairs what was missed, and serves where there is no feed. */
const AGAIN_MS = 5000

const PAGE = 500
const PAGES_MAX = 4
const KEPT_MAX = PAGE * PAGES_MAX

export interface Anomalies extends Resource<readonly Analysis[]> {
  /** Adds one that the feed has. */
  readonly add: (anomaly: Analysis) => void
}

/** The anomalies of the last hour, newest first, at most KEPT_MAX. */
export function useAnomalies(): Anomalies {
  const reader = useMemo(() => createReader(), [])
  const resource = useResource(reader, AGAIN_MS, [])
  return {
    ...resource,
    refresh: resource.refresh,
    value: resource.value,
    failure: resource.failure,
    add(anomaly) {
      resource.value.value = merge([anomaly], resource.value.peek() ?? [])
    },
  }
}

/** Reads all pages first, later only the newest one. */
function createReader() {
  let known: readonly Analysis[] = []
  return async (signal: AbortSignal): Promise<readonly Analysis[]> => {
    const found: Analysis[] = []
    let cursor: string | null = null
    for (let page = 0; page < (known.length === 0 ? PAGES_MAX : 1); page++) {
      const next = await client.anomalies({ limit: PAGE, ...(cursor !== null && { cursor }) }, { signal })
      found.push(...next.anomalies)
      cursor = next.cursor
      const last = next.anomalies.at(-1)
      if (cursor === null || (last !== undefined && last.analyzed_at < Date.now() - HOUR_MS)) break
    }
    known = merge(found, known)
    return known
  }
}

function merge(newer: readonly Analysis[], older: readonly Analysis[]): readonly Analysis[] {
  const from = Date.now() - HOUR_MS
  const all = new Map([...newer, ...older].map(one => [`${one.id} ${one.key} ${one.count}`, one]))
  return [...all.values()]
    .filter(({ analyzed_at: at }) => at >= from)
    .sort((a, b) => b.analyzed_at - a.analyzed_at)
    .slice(0, KEPT_MAX)
}
