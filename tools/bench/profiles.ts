import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { SCENARIOS } from './scenarios.ts'
import { THIS_CODE } from './subject.ts'

const FOLDER = fileURLToPath(new URL('./profiles/', import.meta.url))

/** The names of the profiles, by scenario. */
const PROFILES: Readonly<Record<string, string>> = {
  single: 'gateway-single.cpuprofile',
  batches: 'gateway-batches.cpuprofile',
  'drain 10,000': 'analyzer-drain.cpuprofile',
}

/** Runs each scenario once with Node's profiler in the measured service (--cpu-prof). */
export async function saveProfiles(): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  for (const { name, rounds } of SCENARIOS) {
    const file = PROFILES[name]
    if (file === undefined) continue
    process.stderr.write(`${name} ...\n`)
    const folder = await mkdtemp(`${FOLDER}run-`)
    try {
      const settings = { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${folder}` }
      for await (const _ of rounds({ ...THIS_CODE, settings }, false)) break
      // Only the measured service writes a profile, when it ends.
      const [profile] = await readdir(folder)
      await rename(`${folder}/${profile}`, `${FOLDER}${file}`)
      process.stdout.write(`${FOLDER}${file}\n`)
    } finally {
      await rm(folder, { recursive: true })
    }
  }
}
