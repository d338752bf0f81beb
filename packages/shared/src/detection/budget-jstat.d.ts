/** The part of jstat that is used; it comes without types. */
declare module 'jstat' {
  interface StudentT {
    /** The quantile of a probability. */
    inv(probability: number, degreesOfFreedom: number): number
    cdf(value: number, degreesOfFreedom: number): number
  }
  const jstat: { readonly jStat: { readonly studentt: StudentT } }
  export = jstat
}
