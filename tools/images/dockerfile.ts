/** One instruction of a Dockerfile. */
export interface Instruction {
  readonly name: string
  /** Its arguments on one line, without its flags. */
  readonly value: string
  readonly flags: readonly string[]
}

export interface Stage {
  readonly name: string
  readonly base: string
  readonly instructions: readonly Instruction[]
}

export interface Dockerfile {
  /** Defaults of the arguments before the first stage, which name the base images. */
  readonly args: ReadonlyMap<string, string>
  readonly stages: ReadonlyMap<string, Stage>
}

/** Parses the part of the format that our Dockerfile uses: no heredocs, no escape directive, every stage named. */
export function parseDockerfile(text: string): Dockerfile {
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

/** Returns the instructions that apply to an image: those of its base stages, then those of its own stage. */
export function instructionsFor({ stages }: Dockerfile, name: string): readonly Instruction[] {
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
