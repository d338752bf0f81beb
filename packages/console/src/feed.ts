import { signal } from '@preact/signals'
import type { Query } from '@tidemark/client/client'
import { TidemarkError } from '@tidemark/client/error'
import type { FeedEvent } from '@tidemark/client/feed'
import { useEffect } from 'preact/hooks'
import { client } from './api.ts'

/** Whether the feed is connected: views that have it need not read as often. */
export const isLive = signal(false)

/** Handles the events of the live feed while the component is there. */
export function useFeed(query: Query, onEvent: (event: FeedEvent) => void, inputs: readonly unknown[]): void {
  useEffect(() => {
    const stop = new AbortController()
    const onStatus = ({ kind }: { readonly kind: string }): void => {
      isLive.value = kind === 'open'
    }
    const follow = async (): Promise<void> => {
      for await (const event of client.events(query, { signal: stop.signal, onStatus })) onEvent(event)
    }
    follow().catch((error: unknown) => {
      isLive.value = false
      // Without a feed, or the right to it, the views read at intervals.
      if (!(error instanceof TidemarkError)) throw error
    })
    return () => {
      stop.abort()
      isLive.value = false
    }
  }, inputs)
}
