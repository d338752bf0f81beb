import type { ChainableCommander } from 'ioredis'
import { compareEntryIds, type EntryId } from '../../../sample/receipt.ts'
import type { Client } from '../connection.ts'

/** Fields, members or entries of one read, and commands of one write. */
export const PAGE = 500

export function parsed(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}

/** Ids of a stream rise. */
export function idAfter(last: EntryId | undefined, id: EntryId): EntryId {
  if (last === undefined || compareEntryIds(id, last) > 0) return id
  const [ms, seq] = last.split('-')
  return `${ms}-${Number(seq) + 1}` as EntryId
}

export async function lastIdOf(client: Client, stream: string): Promise<EntryId> {
  if ((await client.exists(stream)) === 0) return '0-0'
  const info = (await client.xinfo('STREAM', stream)) as unknown[]
  return String(info[info.indexOf('last-generated-id') + 1]) as EntryId
}

export async function* entriesOf(client: Client, stream: string) {
  for (let from = '-'; ; ) {
    const page = await client.xrange(stream, from, '+', 'COUNT', PAGE)
    for (const [id, flat] of page) {
      const fields = new Map<string, string>()
      for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '')
      yield { id: id as EntryId, fields }
    }
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return
    from = `(${last[0]}`
  }
}

/** The fields of a hash or members of a sorted set. Nothing changes them meanwhile. */
export async function* pagesOf(client: Client, scan: 'hscanBuffer' | 'zscanBuffer', key: string) {
  let cursor = '0'
  const seen = new Set<string>()
  do {
    const [next, flat] = await client[scan](key, cursor, 'COUNT', PAGE)
    cursor = String(next)
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const [field, value] = [flat[i] as Buffer, flat[i + 1] as Buffer]
      // A scan may return a field twice.
      const name = field.toString('latin1')
      if (seen.has(name)) continue
      seen.add(name)
      yield [field, value] as const
    }
  } while (cursor !== '0')
}

export async function executed(commands: ChainableCommander): Promise<void> {
  for (const [error] of (await commands.exec()) ?? []) if (error !== null) throw error
}

export async function sum(partitions: number, of: (partition: number) => Promise<number>): Promise<number> {
  let total = 0
  for (let partition = 0; partition < partitions; partition++) total += await of(partition)
  return total
}
