import { checkOut, commitId } from '@tidemark/tools/lib/checkout'

/** The commit of 0.1.0, the oldest version that upgrades and rollbacks are tested with. */
const COMMIT = 'ca35286'

const MISSING = `the commit ${COMMIT} of version 0.1.0 is not in the local git history: run "git fetch --unshallow"`

export interface ReleasedVersion {
  readonly name: string
  /** The folder of its code, with its own dependencies. */
  readonly root: string
}

/** Why its code is not at hand; undefined if it is. */
export async function missingRelease(): Promise<string | undefined> {
  return (await commitId(COMMIT)) === undefined ? MISSING : undefined
}

/** Takes the code of 0.1.0 from the local git history, and installs what its lock file names. */
export async function checkOutRelease(): Promise<ReleasedVersion> {
  const id = await commitId(COMMIT)
  if (id === undefined) throw new Error(MISSING)
  return { name: '0.1.0', root: await checkOut(id) }
}
