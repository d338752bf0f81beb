/**
 * Returns how often a property of a parser is tried: `runs` in `npm test`, and FUZZ times as often
 * where that is set (CONTRIBUTING.md).
 */
export function fuzzRuns(runs: number): { readonly numRuns: number } {
  return { numRuns: runs * Number(process.env.FUZZ ?? 1) }
}
