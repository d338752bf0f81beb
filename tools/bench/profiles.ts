import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { SCENARIOS } from './scenarios.ts'

const FOLDER = fileURLToPath(new URL('./profiles/', import.meta.url))

/** The profiled scenarios, and the names of their profiles. */
const PROFILED = [
  { scenario: 'single', file: 'gateway-single.cpuprofile' },
  { scenario: 'batches', file: 'gateway-batches.cpuprofile' },
  { scenario: 'drain 10,000', file: 'analyzer-drain.cpuprofile' },
] as const

/** Runs each scenario once with Node's profiler in the measured service (--cpu-prof). */
export async function saveProfiles(): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  for (const { scenario: name, file } of PROFILED) {
    process.stderr.write(`${name} ...\n`)
    const scenario = SCENARIOS.find(one => one.name === name)
    if (scenario === undefined) throw new Error(`there is no scenario ${name}`)
    const folder = await mkdtemp(`${FOLDER}run-`)
    try {
      process.env.BENCH_PROFILES = folder
      {
        await using opened = await scenario.open(false)
        await opened.measure()
      }
      // Only the measured service writes a profile, when it ends.
      const [profile] = await readdir(folder)
      await rename(`${folder}/${profile}`, `${FOLDER}${file}`)
      process.stdout.write(`${FOLDER}${file}\n`)
    } finally {
      await rm(folder, { recursive: true })
    }
  }
}
