import { spawnSync } from 'node:child_process'
import { StartFailure } from '../stack/stack.ts'

/** The first of them may be one that somebody put on PATH, without Debian's packages. */
const PROGRAMS = ['python3', '/usr/bin/python3'] as const

const REMEDY = 'apt-get install python3-locust python3-matplotlib, or: pip install -r locust/requirements.txt'

/** A Python that has Locust, and whether it can draw. */
export interface Python {
  readonly program: string
  readonly canDraw: boolean
}

export function findPython(): Python | undefined {
  const program = PROGRAMS.find(name => hasModules(name, ['locust']))
  return program === undefined ? undefined : { program, canDraw: hasModules(program, ['matplotlib']) }
}

export function requirePython(): Python {
  const python = findPython()
  if (python === undefined) throw new StartFailure(`there is no Python with Locust. Install it with: ${REMEDY}`)
  return python
}

function hasModules(program: string, names: readonly string[]): boolean {
  // find_spec looks for a package without running it; Locust takes a second to load. Where it only finds a folder of that
  // name, as this project's, there is no loader.
  const test = names
    .map(name => `getattr(importlib.util.find_spec('${name}'), 'origin', None) is not None`)
    .join(' and ')
  const code = `import importlib.util, sys; sys.exit(0 if ${test} else 1)`
  return spawnSync(program, ['-c', code], { stdio: 'ignore' }).status === 0
}
