import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CpuProfile, drawFlame, stacksOf } from './flame.ts'
import { SCENARIOS } from './scenarios.ts'

const FOLDER = new URL('./profiles/', import.meta.url)

/** What is profiled, and as which picture. */
const PROFILED = [
  { scenario: 'single', file: 'gateway-single.svg', title: 'Gateway, one sample a request' },
  { scenario: 'batches', file: 'gateway-batches.svg', title: 'Gateway, 1,000 samples a request' },
  { scenario: 'drain 10,000', file: 'analyzer-drain.svg', title: 'Analyzer, draining a backlog of 10,000 keys' },
] as const

/** Runs the scenarios once each with a profiler in the service, and draws where its time went. */
export async function drawProfiles(): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  for (const { scenario: name, file, title } of PROFILED) {
    process.stderr.write(`${name} ...\n`)
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-profiles-'))
    try {
      const root = stacksOf(await profileOf(name, folder))
      const date = new Date().toISOString().slice(0, 10)
      await writeFile(new URL(file, FOLDER), drawFlame(root, `${title} (${date}, Node ${process.versions.node})`))
    } finally {
      await rm(folder, { recursive: true })
    }
  }
}

async function profileOf(name: string, folder: string): Promise<CpuProfile> {
  const scenario = SCENARIOS.find(one => one.name === name)
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`)
  process.env.BENCH_PROFILES = folder
  {
    await using bench = await scenario.open(false)
    await bench.measure()
  }
  // Only the services that are measured leave one.
  const [file] = (await readdir(folder)).filter(one => one.endsWith('.cpuprofile'))
  return JSON.parse(await readFile(join(folder, file ?? ''), 'utf8'))
}
