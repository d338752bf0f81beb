import { spawnSync } from 'node:child_process'
import { Failure } from '../lib/options.ts'

/** The first one may be a Python on PATH without Debian's packages. */
const PROGRAMS = ['python3', '/usr/bin/python3'] as const

// Loading Locust takes a second. A mere folder with that name, as in this project, has no origin.
const HAS_LOCUST =
  "import importlib.util, sys; sys.exit(getattr(importlib.util.find_spec('locust'), 'origin', None) is None)"

/** Returns a Python that has Locust; undefined if there is none. */
export function findPython(): string | undefined {
  return PROGRAMS.find(name => spawnSync(name, ['-c', HAS_LOCUST], { stdio: 'ignore' }).status === 0)
}

export function requirePython(): string {
  const python = findPython()
  if (python !== undefined) return python
  throw new Failure(
    'no Python with Locust found. Install it: apt-get install python3-locust, or: pip install -r locust/requirements.txt',
  )
}
