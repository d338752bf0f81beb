import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ROOT } from '../lib/project.ts'

const SERVICES = ['gateway', 'analyzer', 'mqtt'] as const

function read(name: string): string {
  return readFileSync(join(ROOT, name), 'utf8')
}

const dockerfile = parseDockerfile(read('Dockerfile'))

function valuesOf(stage: string, name: string): string[] {
  return instructionsFor(dockerfile, stage)
    .filter(instruction => instruction.name === name)
    .map(({ value }) => value)
}

test('every base image is an argument with a default', () => {
  const stages = [...dockerfile.stages.values()]
  const outer = stages.map(({ base }) => base).filter(base => !dockerfile.stages.has(base))
  expect(outer).toEqual([`\${BUILD_IMAGE}`, `\${NODE_IMAGE}`])
  for (const base of outer) expect(dockerfile.args.get(base.slice(2, -1))).toMatch(/^node:24-/)
})

describe.each(SERVICES)('the image of the %s', service => {
  test('runs as a user other than root, by number', () => {
    const [user = ''] = valuesOf(service, 'USER').slice(-1)
    expect(user).toMatch(/^[1-9]\d*:[1-9]\d*$/)
  })

  test('starts and checks its health without a shell, so that signals reach the process', () => {
    for (const name of ['CMD', 'HEALTHCHECK']) {
      const [value = ''] = valuesOf(service, name).slice(-1)
      const command = JSON.parse(value.replace(/^.*?(?=\[)/, '')) as string[]
      expect(command[0]).toBe('node')
    }
    expect(valuesOf(service, 'ENTRYPOINT')).toEqual([])
    expect(valuesOf(service, 'STOPSIGNAL')).toEqual(['SIGTERM'])
  })

  test('contains the output of its build and nothing else', () => {
    const copies = instructionsFor(dockerfile, service).filter(({ name }) => name === 'COPY' || name === 'ADD')
    expect(copies.map(({ flags, value }) => [...flags, value])).toEqual([
      ['--from=build', `/build/packages/${service}/dist/ ./`],
    ])
    expect(read('tools/build.ts')).toContain(`'${service}'`)
  })

  test('runs no command and has no secret in its environment', () => {
    expect(valuesOf(service, 'RUN')).toEqual([])
    expect(valuesOf(service, 'ENV')).toEqual(['NODE_ENV=production'])
  })

  test('is a service of compose.yaml', () => {
    expect(read('compose.yaml')).toMatch(new RegExp(`^  ${service}:$`, 'm'))
    expect(read('compose.yaml')).toContain(`target: ${service}\n`)
  })
})

describe('the build stage', () => {
  const copied = valuesOf('build', 'COPY').flatMap(value => value.split(' ').slice(0, -1))

  test('copies files that exist and that .dockerignore includes', () => {
    const included = read('.dockerignore')
      .split('\n')
      .filter(line => line.startsWith('!'))
      .map(line => line.slice(1))
    for (const path of copied) {
      expect(existsSync(join(ROOT, path)), path).toBe(true)
      expect(
        included.some(allowed => path === allowed || path.startsWith(`${allowed}/`)),
        path,
      ).toBe(true)
    }
  })

  // Otherwise pnpm installs the dependencies again after the sources are copied.
  test('copies the manifest of every package before it installs', () => {
    for (const name of readdirSync(join(ROOT, 'packages'))) {
      if (!existsSync(join(ROOT, 'packages', name, 'package.json'))) continue
      expect(copied).toContain(`packages/${name}/package.json`)
    }
  })
})

/** One instruction of a Dockerfile. */
interface Instruction {
  readonly name: string
  /** Its arguments on one line, without its flags. */
  readonly value: string
  readonly flags: readonly string[]
}

interface Stage {
  readonly name: string
  readonly base: string
  readonly instructions: readonly Instruction[]
}

interface Dockerfile {
  /** Defaults of the arguments before the first stage, which name the base images. */
  readonly args: ReadonlyMap<string, string>
  readonly stages: ReadonlyMap<string, Stage>
}

/**
 * Parses the part of the format that our Dockerfile uses: no heredocs, no escape directive, every
 * stage named.
 */
function parseDockerfile(text: string): Dockerfile {
  const args = new Map<string, string>()
  const stages = new Map<string, Stage & { readonly instructions: Instruction[] }>()
  let current: Instruction[] | undefined
  for (const instruction of instructionsOf(text)) {
    const { name, value } = instruction
    if (name === 'FROM') {
      const [base = '', , stage = ''] = value.split(/\s+/)
      current = []
      stages.set(stage, { name: stage, base, instructions: current })
    } else if (current !== undefined) {
      current.push(instruction)
    } else {
      const [arg = '', fallback = ''] = value.split('=')
      args.set(arg, fallback)
    }
  }
  return { args, stages }
}

/**
 * Returns the instructions that apply to an image: those of its base stages, then those of its own
 * stage.
 */
function instructionsFor({ stages }: Dockerfile, name: string): readonly Instruction[] {
  const stage = stages.get(name)
  if (stage === undefined) return []
  return [...instructionsFor({ args: new Map(), stages }, stage.base), ...stage.instructions]
}

function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter(line => !line.startsWith('#'))
  // A backslash at the end of a line continues it.
  const joined = lines.join('\n').replaceAll(/\\\n\s*/g, '')
  return joined
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(line => {
      const [name = '', ...words] = line.trim().split(/\s+/)
      const flagCount = words.findIndex(word => !word.startsWith('--'))
      return { name, value: words.slice(flagCount).join(' '), flags: words.slice(0, flagCount) }
    })
}
