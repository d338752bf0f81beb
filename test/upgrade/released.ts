import { type Checkout, checkOut, commitId } from '@tidemark/tools/lib/checkout'

/** The commit of 0.1.0, the oldest version that upgrades and rollbacks are tested with. */
const COMMIT = 'ca35286'

export interface ReleasedVersion extends Checkout {
  readonly name: string
}

/** Why its code is not at hand; undefined if it is. */
export async function missingRelease(): Promise<string | undefined> {
  if ((await commitId(COMMIT)) !== undefined) return undefined
  return `the commit ${COMMIT} of version 0.1.0 is not in the local git history: run "git fetch --unshallow"`
}

/** Takes the code of 0.1.0 from the local git history, and installs what its lock file names. */
export async function checkOutRelease(): Promise<ReleasedVersion> {
  return { name: '0.1.0', ...(await checkOut(COMMIT)) }
}
