import {
  digestOf,
  EMPTY_DOCUMENT,
  formatRuleDocument,
  type RuleChange,
  type RuleDocument,
  withRule,
} from '@tidemark/shared/detection/rules/document'
import { RULE_CHANGES_KEPT } from '@tidemark/shared/store/ports/rules'
import { describe, expect, test } from 'vitest'
import type { OpenStore } from './harness.ts'

const BY = { who: 'ada', why: 'the racks "hum" ☃', at: 1_700_000_000_000 }

function next(before: RuleDocument, id = 'edge-cpu'): { document: RuleDocument; change: RuleChange } {
  const rule = { id, pattern: 'edge-*/cpu{,2}', threshold: before.version + 3 }
  const document = withRule(before, rule, BY)
  return { document, change: { ...BY, version: document.version, kind: 'rule_put', id, content: rule } }
}

export function describeRules(open: OpenStore): void {
  describe('rules', () => {
    test('are those of an empty document before the first change', async () => {
      await using under = await open()
      const { rules } = under.store
      expect(await rules.digest()).toBe('')
      expect(await rules.load()).toEqual({ document: EMPTY_DOCUMENT, digest: '', newestVersion: 0 })
      expect(await rules.changes({ count: 10 })).toEqual([])
    })

    test('are the last that were written, for every process', async () => {
      await using under = await open()
      await using other = await under.connect()
      const first = next(EMPTY_DOCUMENT)
      const second = next(first.document, 'meters')
      expect(await under.store.rules.replace(first.document, first.change, '')).toBe(true)
      const before = await under.store.rules.digest()
      expect(await other.rules.replace(second.document, second.change, before)).toBe(true)
      const digest = digestOf(formatRuleDocument(second.document))
      expect(await under.store.rules.digest()).toBe(digest)
      expect(await under.store.rules.load()).toEqual({ document: second.document, digest, newestVersion: 2 })
      expect(await other.rules.changes({ count: 10 })).toEqual([second.change, first.change])
    })

    test('accept one of two changes of the same version; the other has no effect', async () => {
      await using under = await open()
      await using other = await under.connect()
      const [one, two] = [next(EMPTY_DOCUMENT, 'a'), next(EMPTY_DOCUMENT, 'b')]
      const won = await Promise.all([
        under.store.rules.replace(one.document, one.change, ''),
        other.rules.replace(two.document, two.change, ''),
      ])
      expect(won.filter(Boolean)).toHaveLength(1)
      const winner = won[0] ? one : two
      expect((await under.store.rules.load()).document).toEqual(winner.document)
      expect(await under.store.rules.changes({ count: 10 })).toEqual([winner.change])
      const skipping = { ...winner.document, version: 5 }
      expect(await other.rules.replace(skipping, { ...winner.change, version: 5 }, '')).toBe(false)
    })

    test('of the same version have different digests, and a change of the others has no effect', async () => {
      await using under = await open()
      const { rules } = under.store
      const [one, two] = [next(EMPTY_DOCUMENT, 'a'), next(EMPTY_DOCUMENT, 'b')]
      await rules.replace(one.document, one.change, '')
      const first = await rules.digest()
      await rules.replace(two.document, two.change, first)
      expect(await rules.digest()).not.toBe(first)
      const third = next(one.document, 'c')
      expect(await rules.replace(third.document, third.change, first)).toBe(false)
      expect((await rules.load()).document).toEqual(two.document)
    })

    test('keep their newest changes, which are read by page', async () => {
      await using under = await open()
      const { rules } = under.store
      let document = EMPTY_DOCUMENT
      let digest = ''
      for (let i = 0; i < RULE_CHANGES_KEPT + 5; i++) {
        const made = next(document)
        document = made.document
        await rules.replace(document, made.change, digest)
        digest = await rules.digest()
      }
      const versions = async (range: { upTo?: number; count: number }): Promise<number[]> =>
        (await rules.changes(range)).map(({ version }) => version)
      expect(await versions({ count: 3 })).toEqual([document.version, document.version - 1, document.version - 2])
      expect(await versions({ upTo: 10, count: 2 })).toEqual([10, 9])
      expect(await versions({ count: 1e6 })).toHaveLength(RULE_CHANGES_KEPT)
    })
  })
}
