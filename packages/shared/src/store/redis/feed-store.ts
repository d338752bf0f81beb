import { ALERT_CHANGES, type FeedEntry, type FeedPart, type FeedPosition, type FeedStore } from '../ports/feed.ts'
import { eachInOneWrite } from './connection.ts'
import { withStoreErrors } from './errors.ts'
import { toFields, toVerdicts } from './replies.ts'
import type { StoreContext } from './scripts.ts'

/** Where the entries of each stream are, by their name in keys.ts. */
const KEYS = {
  verdicts: 'verdicts',
  anomalies: 'anomalies',
  alerts: 'alertFeed',
  alert_changes: 'alertChanges',
} as const

type Reply = readonly [position: Buffer, gap: Buffer, more: Buffer, ...entries: EntryReply[]]
type EntryReply = readonly [id: Buffer, fields: readonly Buffer[], samples: Buffer]

export function createFeedStore({ client, keys, options }: StoreContext): FeedStore {
  async function read(positions: readonly FeedPosition[], bytesMax: number): Promise<FeedPart[]> {
    const touched = positions.flatMap(({ partition, stream }) => {
      const at = keys.partition(partition)
      return [at[KEYS[stream]], at.samples]
    })
    const args = positions.flatMap(({ after, isIncluded, stream }) => [
      after === null ? '' : `${isIncluded === true ? '[' : ''}${after}`,
      stream === 'verdicts' ? '1' : '',
    ])
    const replies = await client.readFeedBuffer(touched.length, ...touched, bytesMax, ...args)
    return (replies as Reply[]).map((reply, i) => toPart(reply, positions[i]?.stream))
  }
  return withStoreErrors<FeedStore>({
    async read(positions, bytesMax) {
      if (!options.cluster) return read(positions, bytesMax)
      // A script may touch one slot only.
      const groups = [...Map.groupBy(positions, ({ partition }) => partition).values()]
      const parts = new Map<FeedPosition, FeedPart>()
      await eachInOneWrite(client, groups, async group => {
        for (const [i, part] of (await read(group, bytesMax)).entries()) parts.set(group[i] as FeedPosition, part)
      })
      return positions.map(position => parts.get(position) as FeedPart)
    },
  })
}

function toPart([position, gap, more, ...entries]: Reply, stream: FeedPosition['stream'] | undefined): FeedPart {
  return {
    position: String(position),
    hasGap: gap.length > 0,
    hasMore: more.length > 0,
    entries: entries.flatMap(entry => toEntry(entry, stream) ?? []),
  }
}

function toEntry([idBytes, flat, samples]: EntryReply, stream: FeedPosition['stream'] | undefined): FeedEntry | null {
  const id = String(idBytes)
  if (stream === 'verdicts') {
    const verdicts = toVerdicts(id, flat, String(samples))
    return verdicts && { kind: 'verdicts', id, verdicts }
  }
  const text = (name: string): string => String(fields.get(name) ?? '')
  const fields = toFields(flat)
  if (stream === 'anomalies') return { kind: 'anomaly', id, analysis: text('a') }
  const change = ALERT_CHANGES.find(one => one === text('k'))
  return change === undefined ? null : { kind: 'alert', id, alert: text('a'), change }
}
