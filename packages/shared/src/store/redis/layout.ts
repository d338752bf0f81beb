/**
 * Version of the format of all stored data. It changes only if the version before could not read
 * the data or would damage it; fields and keys that it ignores need no other format.
 */
export const FORMAT = '2'

/** The format while `npm run repartition` moves the data: no version reads it. */
export const REPARTITIONING = `${FORMAT}-repartitioning`
