import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Rule {
  readonly record?: string
  readonly alert?: string
  readonly expr: string
  readonly for?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

export interface RuleFile {
  /** Such as `gateway.yaml`. */
  readonly name: string
  readonly groups: readonly { readonly name: string; readonly interval?: string; readonly rules: readonly Rule[] }[]
}

export interface AlertRule extends Rule {
  readonly alert: string
  /** The name of its file. */
  readonly file: string
}

export function readRuleFiles(): RuleFile[] {
  return readFolder('prometheus/rules').map(({ name, text }) => ({ name, ...(parse(text) as Omit<RuleFile, 'name'>) }))
}

export function alertRules(files: readonly RuleFile[] = readRuleFiles()): AlertRule[] {
  return files.flatMap(({ name, groups }) =>
    groups.flatMap(({ rules }) =>
      rules.flatMap(rule => (rule.alert === undefined ? [] : [{ ...rule, alert: rule.alert, file: name }])),
    ),
  )
}

/** Returns the recorded expressions by name. */
export function recordedExpressions(files: readonly RuleFile[] = readRuleFiles()): Map<string, string> {
  return new Map(
    files.flatMap(({ groups }) =>
      groups.flatMap(({ rules }) =>
        rules.flatMap(({ record, expr }): [string, string][] => (record === undefined ? [] : [[record, expr]])),
      ),
    ),
  )
}

/** Reads the YAML files of a folder of the project. */
export function readFolder(folder: string, ending = '.yaml'): { readonly name: string; readonly text: string }[] {
  return readdirSync(join(ROOT, folder))
    .filter(name => name.endsWith(ending))
    .toSorted()
    .map(name => ({ name, text: readText(`${folder}/${name}`) }))
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}
