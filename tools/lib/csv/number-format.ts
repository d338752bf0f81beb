import { DECIMAL } from '@tidemark/shared/parsing/decimal'

/** How numbers are written in a column. */
export interface NumberFormat {
  /** `either`: nothing in the column decides it, and both are read. */
  readonly decimal: '.' | ',' | 'either'
  /** Whether the other mark may stand between thousands. */
  readonly hasGroups: boolean
  /** What follows each number, such as `%`. */
  readonly unit: string
}

const DECIMAL_COMMA = /^[+-]?(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?$/

/** `1,234.5`, `1,234,567` and, as in India, `12,34,567`; `1,234` alone may have a decimal comma. */
const COMMA_GROUPS = /^[+-]?\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?$/
const POINT_GROUPS = /^[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?$/
const SURELY_COMMA_GROUPS = /^[+-]?\d{1,3}(?:(?:,\d{2,3})*,\d{3}\.\d*|(?:,\d{2,3})+,\d{3})$/
const SURELY_POINT_GROUPS = /^[+-]?\d{1,3}(?:(?:\.\d{3})+,\d*|(?:\.\d{3}){2,})$/

/** Thousands as in French (blanks of three widths) and Swiss numbers (apostrophes). */
const BLANK_GROUPS = /^[+-]?\d{1,3}(?:[ \u00a0\u2009\u202f'’]\d{3})+(?:[.,]\d*)?$/
const BLANKS = /[ \u00a0\u2009\u202f'’]/g

const UNIT = /(?<=\d[.,]?)[ \u00a0\u202f]?(%|[€$£¥]|°[CFK]?|[A-Za-zµΩ²³/]{1,8}(?:\/[A-Za-z]{1,4})?)$/

/** A currency before its number, such as `$1,234.5` or `R$ 5`. */
const CURRENCY = /^[+-]?((?:[A-Z]{1,2})?[$€£¥])[ \u00a0\u202f]?(?=[\d.,+-])/

/** What exporters write where there is no value; a spreadsheet begins its errors with a hash. */
const MISSING =
  /^(?:|#\S{1,12}[!?]|#nv|#n\/d|\?|\.|no[ _]?data|n\.a\.|null|\(null\)|nil|none|\\n|na|n\/a|#n\/a|#na|nan|-nan|<na>|-|--|---|unavailable|unknown|undefined|missing)$/i

export function isMissing(text: string): boolean {
  return text.length <= 16 && MISSING.test(text.trim())
}

/** Whether a text is a number in any of the known forms. */
export function isNumeric(text: string): boolean {
  const plain = withSign(text)
  return DECIMAL.test(plain) || [DECIMAL_COMMA, COMMA_GROUPS, POINT_GROUPS, BLANK_GROUPS].some(form => form.test(plain))
}

/** Returns the unit of a cell such as `21.5 °C`, or its currency; empty without one. */
export function unitOf(text: string): string {
  const signed = withSign(text)
  const unit = CURRENCY.exec(signed)?.[1] ?? UNIT.exec(signed)?.[1] ?? ''
  return unit !== '' && isNumeric(withoutUnit(signed, unit)) ? unit : ''
}

/**
 * Decides how the numbers of a column are written. Between commas, a comma in a number is never a
 * decimal comma unless `given` says so: it is as likely to be an error of the exporter.
 */
export function detectNumberFormat(
  cells: readonly string[],
  delimiter: string,
  { given, file }: { given: '.' | ',' | undefined; file: '.' | ',' | 'unknown' | undefined },
): NumberFormat {
  const present = cells.filter(cell => !isMissing(cell))
  const units = new Set(present.map(unitOf))
  const unit = units.size === 1 ? ([...units][0] ?? '') : ''
  if (given !== undefined) return { decimal: given, hasGroups: true, unit }
  const numbers = present.map(cell => withoutUnit(withSign(cell), unit))
  const some = (form: RegExp): boolean => numbers.some(number => form.test(number))
  if (some(SURELY_COMMA_GROUPS)) return { decimal: '.', hasGroups: true, unit }
  if (some(SURELY_POINT_GROUPS)) return { decimal: ',', hasGroups: true, unit }
  if (delimiter === ',') return { decimal: '.', hasGroups: false, unit }
  // What may be thousands is so, if the other columns have the other decimal mark.
  const only = (mark: string, groups: RegExp): boolean =>
    some(groups) && numbers.every(number => !number.includes(mark) || (groups.test(number) && !/^[+-]?0/.test(number)))
  if (file === ',' && only('.', POINT_GROUPS)) return { decimal: ',', hasGroups: true, unit }
  if (file !== ',' && file !== undefined && only(',', COMMA_GROUPS)) {
    return { decimal: '.', hasGroups: file === '.', unit }
  }
  if (!some(DECIMAL_COMMA)) return { decimal: 'either', hasGroups: false, unit }
  const isPoint = (number: string): boolean => number.includes('.') && !POINT_GROUPS.test(number)
  return numbers.some(isPoint) ? { decimal: 'either', hasGroups: false, unit } : { decimal: ',', hasGroups: true, unit }
}

/** Returns the decimal mark that cells prove: the one of numbers that cannot have thousands. */
export function provenDecimal(cells: readonly string[]): '.' | ',' | undefined {
  const has = (mark: RegExp): boolean => cells.some(cell => mark.test(withSign(cell)))
  const hasPoint = has(/^[+-]?(?:0|\d+)\.(?!\d{3}(?:\D|$))\d+(?:$|[^\d.,])/)
  const hasComma = has(/^[+-]?(?:0|\d+),(?!\d{3}(?:\D|$))\d+(?:$|[^\d.,])/)
  return hasPoint === hasComma ? undefined : hasPoint ? '.' : ','
}

/** Returns the value of a cell; a text says what is wrong with it, as the end of a sentence. */
export function parseNumber(cell: string, format: NumberFormat): number | string {
  // The usual case first: no form but this one has nothing but digits and a point.
  if (format.decimal !== ',' && DECIMAL.test(cell)) return toFinite(Number(cell), cell)
  const number = withoutUnit(withSign(cell), format.unit)
  if (BLANK_GROUPS.test(number)) return toFinite(Number(number.replace(BLANKS, '').replace(',', '.')), cell)
  if (format.decimal === ',') {
    if (DECIMAL_COMMA.test(number) || /^[+-]?\d+$/.test(number)) return toFinite(Number(number.replace(',', '.')), cell)
    if (format.hasGroups && POINT_GROUPS.test(number)) {
      return toFinite(Number(number.replaceAll('.', '').replace(',', '.')), cell)
    }
    if (DECIMAL.test(number)) {
      if (/e/i.test(number) || !number.includes('.')) return toFinite(Number(number), cell)
      return `has a decimal point, where the other numbers have a decimal comma: ${quote(cell)}`
    }
    return notANumber(cell)
  }
  if (DECIMAL.test(number)) return toFinite(Number(number), cell)
  if (format.hasGroups && COMMA_GROUPS.test(number)) return toFinite(Number(number.replaceAll(',', '')), cell)
  if (DECIMAL_COMMA.test(number)) {
    if (format.decimal === 'either') return toFinite(Number(number.replace(',', '.')), cell)
    return `has a comma, which may be a decimal comma or stand between thousands; --decimal says which: ${quote(cell)}`
  }
  return notANumber(cell)
}

function toFinite(value: number, cell: string): number | string {
  // The pipeline knows no negative zero.
  return Number.isFinite(value) ? value + 0 : `is not a finite number: ${quote(cell)}`
}

function notANumber(cell: string): string {
  return isMissing(cell) ? `is missing: ${quote(cell)}` : `is not a finite number: ${quote(cell)}`
}

/**
 * Returns a number with a hyphen as its sign: some programs write the minus of typography, SAP
 * writes it behind the number, and accountants write brackets instead.
 */
function withSign(text: string): string {
  const trimmed = text.trim()
  if (DECIMAL.test(trimmed)) return trimmed
  const [, behind] = /^((?:\D{1,3})?\d[\d.,]*)-$/.exec(trimmed) ?? /^\(([^()]*\d[\d.,]*)\)$/.exec(trimmed) ?? []
  if (behind !== undefined) return `-${behind}`
  return trimmed.startsWith('\u2212') ? `-${trimmed.slice(1)}` : trimmed
}

function withoutUnit(text: string, unit: string): string {
  if (unit === '') return text
  if (text.endsWith(unit)) return text.slice(0, -unit.length).trimEnd()
  const sign = /^[+-]?/.exec(text)?.[0] ?? ''
  const rest = text.slice(sign.length)
  return rest.startsWith(unit) ? `${sign}${rest.slice(unit.length).trimStart()}` : text
}

/** Returns a cell for a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text)
}
