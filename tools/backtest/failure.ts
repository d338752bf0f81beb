/** What the user can mend; its message says what and how. */
export class BacktestFailure extends Error {}
