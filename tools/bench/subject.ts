import { checkOut, commitId } from '../lib/checkout.ts'
import { Failure } from '../lib/options.ts'
import { ROOT } from '../lib/project.ts'
import type { Variation } from './variation.ts'

/** What is measured: the services of a checkout, with settings besides those of the scenario. */
export interface Subject {
  readonly name: string
  /** The folder of the code. */
  readonly root: string
  readonly settings: Readonly<Record<string, string>>
}

export const THIS_CODE: Subject = { name: 'this code', root: ROOT, settings: {} }

interface Comparison {
  readonly against: string | undefined
  readonly vary: Variation | undefined
}

/**
 * Returns what the options compare: the first with the second, if there is one. Checks out the code
 * of another commit.
 */
export async function readSubjects({ against, vary }: Comparison): Promise<readonly Subject[]> {
  if (vary !== undefined) return vary.values.map(value => varied(vary.setting, value))
  if (against === undefined) return [THIS_CODE]
  const id = await commitId(against)
  if (id === undefined) throw new Failure(`--against ${against}: the local git history has no such commit`)
  const name = id.slice(0, 10)
  process.stderr.write(`checking out ${name} and installing its dependencies, unless it is there already\n`)
  return [THIS_CODE, { name, root: await checkOut(id), settings: {} }]
}

function varied(setting: string, value: string): Subject {
  if (value === '') return { ...THIS_CODE, name: `no ${setting}` }
  return { ...THIS_CODE, name: `${setting}=${value}`, settings: { [setting]: value } }
}
