/** Keys of the samples in a load report, whose clients do not name any. */
export const LOAD_KEYS = { cpu: 'default/cpu', rps: 'default/rps' } as const
