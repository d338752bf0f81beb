import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Paths from the root: tracked files and those that will be; without git, all but build output. */
export const files = projectFiles()

export function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

/** TypeScript of the packages, the tools and the tests. */
export const sources = files.filter(file => /^(packages|tools|test)\/.*\.tsx?$/.test(file))

/** What is deployed or run by hand: neither tests nor the testkit. */
export const production = sources.filter(file => !isTest(file) && !file.startsWith('packages/testkit/'))

/** What each source imports: packages by name, the project's own files as paths from the root. */
export const importsOf: ReadonlyMap<string, readonly string[]> = new Map(sources.map(file => [file, readImports(file)]))

export function isTest(file: string): boolean {
  return file.endsWith('.test.ts') || /^(packages\/[^/]+\/)?test\//.test(file)
}

/** The workspace that a path lies in: a package's name, 'tools' or 'test'. */
export function workspaceOf(path: string): string | undefined {
  return /^(?:packages\/([^/]+)|(tools)|(test))\//.exec(path)?.slice(1).find(Boolean)
}

export function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, '')
}

function readImports(file: string): string[] {
  const pattern = /(?:\bfrom|\bimport|\bimport\(|new URL\()\s*'([^']+)'/g
  return [...withoutComments(textOf(file)).matchAll(pattern)].map(([, name = '']) => {
    if (name.startsWith('.') || (!name.includes(':') && /\.tsx?$/.test(name))) {
      return normalize(join(dirname(file), name))
    }
    const [, workspace, path] = /^@tidemark\/([^/]+)\/(.+)$/.exec(name) ?? []
    if (workspace === undefined) return name
    return workspace === 'tools' ? `tools/${path}.ts` : `packages/${workspace}/src/${path}.ts`
  })
}

function projectFiles(): string[] {
  try {
    const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z']
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore']
    const listed = execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio })
    return listed.split('\0').filter(file => file !== '' && existsSync(join(root, file)))
  } catch {
    return walk(root).map(file => relative(root, file))
  }
}

function walk(folder: string): string[] {
  const skipped = new Set(['node_modules', '.git', '.tools', '.turbo', 'dist', 'coverage'])
  return readdirSync(folder)
    .filter(name => !skipped.has(name))
    .flatMap(name => {
      const path = join(folder, name)
      return statSync(path).isDirectory() ? walk(path) : [path]
    })
}
