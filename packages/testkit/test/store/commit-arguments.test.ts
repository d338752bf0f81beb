import { commitArguments } from '@tidemark/shared/store/redis/commit-arguments'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { carriedBy, carriedOf, nameArguments, randomCommit, splitArguments } from '../../src/random-commits.ts'

test('a commit is encoded so that the table of the protocol decodes it', () => {
  fc.assert(
    fc.property(randomCommit, commit => {
      const args = commitArguments({ step: 'all', token: 'a:1', commit, options: REDIS_STORE_DEFAULTS })
      const argv = splitArguments(args.after(''))
      expect(argv).toHaveLength(args.count)
      const decoded = nameArguments(argv)
      expect(carriedBy(decoded)).toEqual(carriedOf('a:1', commit))
      expect(Number(decoded.scalars.anomalies_max)).toBe(REDIS_STORE_DEFAULTS.anomaliesMax)
      expect(Number(decoded.scalars.shadowed_max)).toBe(REDIS_STORE_DEFAULTS.shadowedMax)
    }),
  )
})

test('a commit that keeps no applied entry trims up to the id after its last', () => {
  const [commit] = fc.sample(randomCommit, 1)
  if (commit === undefined) throw new Error('no sample')
  const last = { ...commit, to: { id: '5-18446744073709551614', offset: 1 }, keepFrom: undefined }
  const args = commitArguments({ step: 'all', token: 'a:1', commit: last, options: REDIS_STORE_DEFAULTS })
  expect(String(nameArguments(splitArguments(args.after(''))).scalars.keep_from)).toBe('5-18446744073709551615')
})
