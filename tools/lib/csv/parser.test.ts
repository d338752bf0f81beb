import { describe, expect, test } from 'vitest'
import { type CsvOptions, CsvParser } from './parser.ts'
import { CsvProblem } from './problem.ts'
import { reportLines, toBody } from './read.ts'

const NOW = Date.UTC(2025, 0, 1)
const BEGIN = Date.UTC(2024, 0, 1)

function read(given: string | Uint8Array, options: CsvOptions = {}) {
  const parser = new CsvParser(options, 'file')
  const bytes = typeof given === 'string' ? new TextEncoder().encode(given) : given
  const items = [...parser.push(bytes), ...parser.end()]
  const samples = items.filter(item => item.kind === 'sample').map(({ sample }) => sample)
  return {
    parser,
    items,
    samples,
    values: samples.map(({ value }) => value),
    keys: [...new Set(samples.map(({ key }) => key))],
    times: samples.map(({ timestamp }) => new Date(timestamp).toISOString().replace('.000Z', 'Z')),
    refused: items.filter(item => item.kind === 'refused').map(({ line, reason }) => `${line}: ${reason}`),
    report: reportLines(parser, 'file', NOW).join('\n'),
  }
}

const problemOf = (text: string, options: CsvOptions = {}): string => {
  try {
    read(text, options)
  } catch (error) {
    if (error instanceof CsvProblem) return error.message
    throw error
  }
  return 'none'
}

/** Lines of a minute each, with a time and more cells. */
const lines = (count: number, cells: (n: number) => string, at = (n: number) => `${BEGIN / 1000 + 60 * n}`) =>
  Array.from({ length: count }, (_, n) => `${at(n)},${cells(n)}\n`).join('')

describe('delimiter and decimal mark', () => {
  test('a currency is a unit: two of them are refused', () => {
    expect(read('time;value\n2024-01-01;$5\n2024-01-02;-$1,234.5\n2024-01-03;$ 7\n').values).toEqual([5, -1234.5, 7])
    expect(read('time,value\n2024-01-01,$5\n2024-01-02,€6\n').refused).toHaveLength(2)
  })

  test('a file has one delimiter, and a comma in a number is a decimal comma between semicolons', () => {
    expect(read('zeit;wert\n2024-01-01 00:00:00;21,5\n').values).toEqual([21.5])
    expect(read('2024-01-01 00:00:00;21,5\n2024-01-01 00:01:00;21,6\n')).toMatchObject({
      values: [21.5, 21.6],
      keys: ['file'],
    })
    expect(read('time\tvalue\n2024-01-01\t1,5\n').values).toEqual([1.5])
    expect(read('time|value\n2024-01-01|1,5\n').values).toEqual([1.5])
  })

  test('a comma before the milliseconds does not separate cells', () => {
    const { values, times } = read('time;value\n2023-12-29 23:43:49,493;71\n')
    expect([values, times]).toEqual([[71], ['2023-12-29T23:43:49.493Z']])
  })

  test('a comma in a text does not separate cells', () => {
    const text = 'time;value;name\n2024-01-01;21.5;Berlin, Mitte\n2024-01-01;21.6;Berlin, Wedding\n'
    expect(read(text).keys).toEqual(['Berlin, Mitte', 'Berlin, Wedding'])
  })

  test('a decimal comma between commas is refused by name, in quotes and without, and read on request', () => {
    const quoted = `time,value\n${lines(3, n => `"21,${n}"`)}`
    expect(read(quoted).refused[0]).toMatch(/^2: the value has a comma, which may be a decimal comma .*--decimal/)
    expect(read(quoted, { decimal: ',' }).values).toEqual([21, 21.1, 21.2])
    expect(read(`time,value\n${lines(3, n => `21,${n}`)}`)).toMatchObject({
      samples: [],
      refused: [
        expect.stringContaining('2: it has 3 cells, and there are 2 columns: a decimal comma'),
        expect.anything(),
        expect.anything(),
      ],
    })
    expect(problemOf(lines(3, n => `21,${5 - n}`))).toContain('there is no header, and 2 columns have numbers')
  })

  test('a fraction in the place of a note or of a trailing delimiter is no value', () => {
    const text = lines(3, n => `21,${n}`)
    expect(problemOf(`time,value,\n${text}`)).toContain('value is followed by digits in column 3: a decimal comma')
    expect(problemOf(`time,temp,note\n${text}`)).toContain('--value temp reads whole numbers')
    expect(read(`time,temp,note\n${text}`, { value: ['temp'] }).values).toEqual([21, 21, 21])
    expect(read(`time,temp,hum\n${text}`).keys).toEqual(['temp', 'hum'])
  })

  test('the decimal mark of other columns tells thousands from fractions', () => {
    expect(read('time;a;b\n2024-01-31;1.234;12,5\n').values).toEqual([1234, 12.5])
    expect(read('time;a;b\n2024-01-31;1,234;12.5\n').values).toEqual([1234, 12.5])
    expect(read('time;a;b\n2024-01-31;0.234;12,5\n').values).toEqual([0.234, 12.5])
    expect(read('time;a\n2024-01-31;1,234\n').values).toEqual([1.234])
    expect(read('time\ta\n1/31/2024 10:00\t1,234\n').refused[0]).toContain('--decimal says which')
  })

  test('thousands are read where one number proves them, or on request', () => {
    expect(read('time,value\n2024-01-01,"1,234.5"\n2024-01-02,"2,000"\n').values).toEqual([1234.5, 2000])
    expect(read('time;value\n2024-01-01;1.234,5\n2024-01-02;2.000\n').values).toEqual([1234.5, 2000])
    expect(read("time;value\n2024-01-01;1'234.5\n2024-01-02;1\u202f234,5\n").values).toEqual([1234.5, 1234.5])
    expect(read('time,value\n2024-01-01,"1,234"\n', { decimal: '.' }).values).toEqual([1234])
    expect(read('time;value\n2024-01-01;1,5\n2024-01-02;1.5\n').values).toEqual([1.5, 1.5])
  })

  test('a unit is read if every number has it, and two units are refused', () => {
    expect(read('time,cpu\n2024-01-01,45%\n2024-01-02,46 %\n').values).toEqual([45, 46])
    expect(read('time,mem\n2024-01-01,1.2 GiB\n2024-01-02,900 MiB\n').refused).toHaveLength(2)
  })

  test('sep= and --delimiter decide it', () => {
    expect(read('sep=;\ntime;value\n2024-01-01;1,5\n').values).toEqual([1.5])
    // No delimiter that would be found without its line.
    expect(read('sep=~\ntime~value\n2024-01-01~1,5\n').values).toEqual([1.5])
    expect(read('2024-01-01T00:00:00Z 21.5\n2024-01-01T00:01:00Z 21.6\n', { delimiter: ' ' }).values).toEqual([
      21.5, 21.6,
    ])
    expect(read('2024-01-01~21.5\n', { delimiter: '~' }).report).toContain('delimiter "~" (as given)')
  })

  test('blanks around quotes, trailing delimiters and the minus of typography are no obstacle', () => {
    expect(read('time, value ,\n2024-01-01, "5" ,\n2024-01-02,\u22126,\n').values).toEqual([5, -6])
  })
})

describe('columns', () => {
  test('numbers below names of something else are no times', () => {
    expect(problemOf('cpu,mem\n1.5,2\n1.6,3\n')).toContain('no column looks like a time; the columns are cpu (1.5)')
    expect(problemOf('45,20\n44,21\n43,20\n')).toContain('no column looks like a time')
  })

  test('times are no values', () => {
    expect(problemOf('Date,Line,tsNs\n2024-01-01 00:00:00,x,1704067200000000000\n')).toContain('no column has numbers')
  })

  test('columns that are named by times are refused, or read on request', () => {
    const text = 'Date,00:00,00:30,01:00\n2024-01-01,1.5,2.5,3.5\n2024-01-02,1.6,2.6,3.6\n'
    expect(problemOf(text)).toContain('3 columns are named by times (00:00, 00:30, ...): write a row for each of them')
    expect(read(text, { value: ['00:30'] }).values).toEqual([2.5, 2.6])
  })

  test('--time-format finds the column of times of its format', () => {
    const text = 'batch,month,value\n17,2024-01,1\n18,2024-02,2\n'
    expect(problemOf(text)).toContain('--time names the column, --time-format its format')
    expect(read(text, { timeFormat: 'YYYY-MM' }).times).toEqual(['2024-01-01T00:00:00Z', '2024-02-01T00:00:00Z'])
  })

  test('ms is a part of the time if it orders the samples of a second, else a duration', () => {
    const rows = (ms: number[]) => ms.map((one, n) => `2024-01-01 00:00:0${n >> 1};${one};${n}\n`).join('')
    expect(read(`time;ms;value\n${rows([0, 500, 0, 500])}`).times).toContain('2024-01-01T00:00:01.500Z')
    expect(read(`time;ms;value\n${rows([90, 20, 30, 10])}`).report).toContain('not used: ms')
    expect(read(`time;ms\n2024-01-01 00:00:00;30\n2024-01-01 00:00:01;20\n`).values).toEqual([30, 20])
  })

  test('row numbers are no key', () => {
    const text = `id,timestamp,value\n${Array.from({ length: 200 }, (_, n) => `${n + 1},${1.7e9 + n},${n % 7}\n`).join('')}`
    expect(read(text)).toMatchObject({
      keys: ['file'],
      report: expect.stringContaining('not used: id; 200 samples, 1 key'),
    })
    expect(read(text.replaceAll(/^(\d+),/gm, 'u-$1-x,')).keys).toEqual(['file'])
    expect(read(text.replaceAll(/^(\d+),/gm, (_, id) => `${Number(id) * 3 + 7},`)).keys).toEqual(['file'])
  })

  test('most keys with one sample are worth a warning', () => {
    const { keys, report } = read(`timestamp,value,key\n${lines(20, n => `${n % 3},k${n}`)}`)
    expect(keys).toHaveLength(20)
    expect(report).toContain('WARNING: 20 of 20 keys have one sample: is the key column right? --key names it')
  })

  test('a date and a time of day are joined, and Tag is the key', () => {
    const { times, keys, report } = read('Date,Time,Tag,Value,Note\n2024-01-01,00:05,a,1,\n2024-01-31,13:00,b,2,x\n')
    expect([times, keys]).toEqual([
      ['2024-01-01T00:05:00Z', '2024-01-31T13:00:00Z'],
      ['a', 'b'],
    ])
    expect(report).toContain(
      'time = Date + Time, value = Value, key = Tag; not used: Note; 2 samples, 2 keys, 2024-01-01 to 2024-01-31\n',
    )
  })

  test.each([
    ['event_id', (n: number) => String(n + 7)],
    ['record_id', (n: number) => String(n * 3 + 7)],
    ['trace_id', (n: number) => `t${n}x`],
    ['Seq. No.', (n: number) => String(n + 100)],
  ])('%s of each row is no key and no value', (name, id) => {
    expect(read(`time,${name},temp,hum\n${lines(20, n => `${id(n)},${n % 5}.5,${n % 3}`)}`).keys).toEqual([
      'temp',
      'hum',
    ])
  })

  test('an hour, or digits, beside a date are a time of day', () => {
    expect(read('Date,Hour,Load\n2024-01-01,0,5\n2024-01-01,13,6\n2024-01-01,24,7\n').times).toEqual([
      '2024-01-01T00:00:00Z',
      '2024-01-01T13:00:00Z',
      '2024-01-02T00:00:00Z',
    ])
    expect(read('DATE,TIME,value\n20240101,000500,1\n20240101,1205,2\n').times).toEqual([
      '2024-01-01T00:05:00Z',
      '2024-01-01T12:05:00Z',
    ])
    expect(read('DATE;TIME;value\n01.02.2024;1205;1\n').times).toEqual(['2024-02-01T12:05:00Z'])
    const options = { time: ['DATE', 'TIME'], timeFormat: 'YYYYMMDD HHmmss' }
    expect(read('DATE,TIME,value\n20240101,000500,1\n', options).times).toEqual(['2024-01-01T00:05:00Z'])
  })

  test('digits without marks are a date beside a time of day', () => {
    expect(read('DATE,TIME,value\n20240101,00:05:00,1\n').times).toEqual(['2024-01-01T00:05:00Z'])
  })

  test.each([
    'date,timestamp,value\n2024-01-01,2024-01-01T10:00:00Z,1\n',
    'date,timestamp,value\n2024-01-01,1704103200,1\n',
    'timestamp,received_at,value\n2024-01-01T10:00:00Z,2024-01-02T11:00:00Z,1\n',
    'received_at,timestamp,value\n2024-01-02T11:00:00Z,2024-01-01T10:00:00Z,1\n',
    'value,time,date\n1,10:00:00,2024-01-01\n',
  ])('the full timestamp of the measurement wins in %j', text => {
    expect(read(text).times).toEqual(['2024-01-01T10:00:00Z'])
  })

  test('each numeric column is a series, or those that are named', () => {
    const text = 'timestamp,cpu,mem,disk\n2024-01-01,1,2,3\n2024-01-02,4,,6\n'
    const { samples, report } = read(text)
    expect(samples.map(({ key, value }) => [key, value])).toEqual([
      ['cpu', 1],
      ['mem', 2],
      ['disk', 3],
      ['cpu', 4],
      ['disk', 6],
    ])
    expect(report).toContain('value = cpu, mem, disk, key = name of the column')
    expect(report).toContain('1 cell without a value')
    expect(read(text, { value: ['cpu', '4'] }).keys).toEqual(['cpu', 'disk'])
    expect(problemOf(text, { value: ['ram'] })).toContain('--value: there is no column ram; the columns are timestamp')
  })

  test('device and metric are the key together, in the order that is given', () => {
    const text = 'timestamp,device,metric,value\n2024-01-01,a,cpu,1\n2024-01-01,a,mem,2\n2024-01-01,b,cpu,3\n'
    expect(read(text).keys).toEqual(['a/cpu', 'a/mem', 'b/cpu'])
    expect(read(text, { key: ['metric', 'DEVICE'] }).keys).toEqual(['cpu/a', 'mem/a', 'cpu/b'])
  })

  test('a slash in a device is written as in the keys of JSON reports', () => {
    const text = 'time,device,metric,value\n2024-01-01,a/b,c,1\n2024-01-01,a,b/c,2\n'
    expect(read(text).keys).toEqual(['a%2Fb/c', 'a/b/c'])
    expect(read('time,device,b/c,d\n2024-01-01,a/b,1,2\n').keys).toEqual(['a%2Fb/b/c', 'a%2Fb/d'])
    expect(read('time,device,value\n2024-01-01,a/b,1\n').keys).toEqual(['a/b'])
    expect(read('time,device,c,d\n2024-01-01,a,1,2\n2024-01-01,,1,2\n').refused).toHaveLength(2)
  })

  test('a wide table may have a key column, and two columns of one name are two keys', () => {
    expect(read('time,host,cpu,cpu\n2024-01-01,a,1,2\n').keys).toEqual(['a/cpu', 'a/cpu (column 4)'])
  })

  test('a text of unknown name is a key if it occurs as a series does, and not if it is a status', () => {
    expect(read(`timestamp,reading,werk\n${lines(20, n => `${n},${n % 2 ? 'a' : 'b'}`)}`).keys).toEqual(['b', 'a'])
    const { keys, report } = read(`timestamp,reading,info\n${lines(20, n => `${n % 5},${n === 7 ? 'warn' : 'ok'}`)}`)
    expect(keys).toEqual(['file'])
    expect(report).toContain('not used: info')
  })

  test('columns of one letter are series if there are several, and counters are no keys', () => {
    expect(read(`time,x,y,z\n${lines(9, n => `${n % 4}.5,${n},${n % 3}`)}`).keys).toEqual(['x', 'y', 'z'])
    expect(read(`t,v\n${lines(9, n => `${n}.5`)}`).keys).toEqual(['file'])
    expect(read(`time,counter,errors\n${lines(9, n => `${n * 7},${n % 2}`)}`).keys).toEqual(['counter', 'errors'])
    expect(read(`time,machine,temp\n${lines(9, n => `${n % 3},${n}.5`)}`).keys).toEqual(['0', '1', '2'])
  })

  test('a state of two values is no key, and a key that is found can be refused', () => {
    expect(read(`time,door,temp\n${lines(20, n => `${n % 2 ? 'on' : 'off'},${n}`)}`).keys).toEqual(['file'])
    expect(read(`time,device,temp\n${lines(20, n => `d${n % 2},${n}`)}`, { key: ['none'] }).keys).toEqual(['file'])
  })

  test('an integer that distinguishes rows of one time is a part of the key', () => {
    const rows = Array.from({ length: 12 }, (_, n) => `${1.7e9 + Math.floor(n / 3)},${(n % 3) + 40},${n}.5\n`).join('')
    expect(read(`time,zaehler,value\n${rows}`).keys).toEqual(['40', '41', '42'])
  })

  test('the options name columns by number, too, and join several for the time', () => {
    const text = 'Year,Month,Day,Hour,temp\n2024,1,1,0,5.5\n2024,1,1,1,5.6\n'
    expect(read(text)).toMatchObject({ keys: ['file'], times: ['2024-01-01T00:00:00Z', '2024-01-01T01:00:00Z'] })
    const options = { time: ['Year', 'Month', '3', 'Hour'], timeFormat: 'YYYY M D H', value: ['temp'] }
    expect(read(text, options).times).toEqual(['2024-01-01T00:00:00Z', '2024-01-01T01:00:00Z'])
    const two = 'timestamp,received_at,value\n2024-01-01,2024-01-02,1\n'
    expect(read(two, { time: ['received_at'] }).times).toEqual(['2024-01-02T00:00:00Z'])
  })

  test('a header may be in any order, case and language', () => {
    expect(read('Wert;Messstelle;Zeitstempel\n1,5;a;01.02.2024 10:00\n').samples).toEqual([
      { key: 'a', value: 1.5, timestamp: Date.UTC(2024, 1, 1, 10) },
    ])
    expect(read('valeur;capteur;horodatage\n1,5;a;2024-02-01 10:00\n').keys).toEqual(['a'])
  })
})

describe('lines that are no rows', () => {
  test('comments, titles, units, repeated headers and footers are distinguished from rows', () => {
    const text = `Exported by X\nStation;North\n# a comment\nTime;Temp\n;°C\n2024-01-01;1,5\n\n2024-01-02;2,5\nTime;Temp\n2024-01-03;3,5\n\nTotal;7,5\n(3 rows)\n`
    const { values, refused, report } = read(text)
    expect(values).toEqual([1.5, 2.5, 3.5])
    expect(refused).toEqual([expect.stringMatching(/^12: the time /)])
    expect(report).toContain('header in line 4 and 3 lines beside it skipped')
    expect(report).toContain('1 refused, 2 comments, 1 repeated header')
  })

  test('a header may be a comment', () => {
    expect(read('# station 7\n#time,cpu,mem\n1700000000,1,2\n').keys).toEqual(['cpu', 'mem'])
  })

  test('another table with another header may follow an empty line', () => {
    const { keys, report } = read('time,value\n2024-01-01,1\n2024-01-02,2\n\ntime,temp,hum\n2024-01-03,3,4\n')
    expect(keys).toEqual(['file', 'temp', 'hum'])
    expect(report).toContain('value = value, key = "file", the name of the file\ntime = time, value = temp, hum')
  })

  test.each([
    ['500 good rows, 70,000 NUL bytes, 500 good rows', '\0'.repeat(70_000), 999],
    ['NUL bytes in a line of their own', `${'\0'.repeat(70_000)}\n`, 1000],
    ['a few NUL bytes', '\0\0\0', 999],
    ['an open quote', `${1.7e9},"5\n`, 1000],
    ['an open quote before rows with quotes', `${1.7e9},"5\n"${1.7e9}","6"\n`, 1001],
    ['an endless line', `${'x,'.repeat(50_000)}\n`, 1000],
  ])('%s cost one line', (_, damage, count) => {
    const { samples, refused } = read(
      `timestamp,value\n${lines(500, n => `${n % 7}`)}${damage}${lines(500, n => `${n % 7}`)}`,
    )
    expect([samples.length, refused.length]).toEqual([count, 1])
    expect(refused[0]).toMatch(
      /^502: it has NUL bytes|^502: a quote opens in it and is not closed|^502: it is longer than/,
    )
  })

  test('an open quote at the end and half a line cost one line', () => {
    expect(read(`time,value\n${lines(3, () => '5')}1700000000,"5`).refused).toEqual([
      '5: a quote opens in it and is not closed',
    ])
    expect(read(`time,value\n${lines(3, () => '5')}17000`).refused).toEqual([
      '5: it has one cell, and there are 2 columns: "17000"',
    ])
  })

  test('a quoted cell may have line breaks and quotes', () => {
    expect(read('time,value,key\r\n1700000000,1,"a ""b""\r\nc"\r\n').refused[0]).toContain(
      'must not contain control characters',
    )
    expect(read('time,value,note\n1700000000,1,"a\nb"\n1700000060,2,\n').values).toEqual([1, 2])
  })

  test.each([
    ['', 'it is empty'],
    ['\n\n', 'it is empty'],
    ['timestamp,value\n', 'it has a header (timestamp, value) and no rows'],
    ['# nothing\n', 'it has comments and no rows'],
    ['time,on\n2024-01-01,true\n', 'no column has numbers for the value; the columns are on (true)'],
    ['time,value\n00:00:00,1\n', 'has times of day and no column has a date'],
    ['<!DOCTYPE html>\n<html></html>\n', 'Is it CSV?'],
    ['value\n1\n2\n', 'no line has two cells'],
    ['PK\u0003\u0004 ...', 'it is a ZIP archive or a spreadsheet (.xlsx, .ods)'],
  ])('%j has a reason', (text, reason) => {
    expect(problemOf(text)).toContain(reason)
  })
})

describe('encoding', () => {
  const text = 'time;key;value\n2024-01-01;Höhe;1\n2024-01-01;Hühe;2\n'
  const utf16 = (isBig: boolean): Uint8Array => {
    const bytes = new Uint8Array(2 * text.length)
    const view = new DataView(bytes.buffer)
    for (let at = 0; at < text.length; at++) view.setUint16(2 * at, text.charCodeAt(at), !isBig)
    return bytes
  }
  const latin = (given: string): Uint8Array => Uint8Array.from(given, character => character.charCodeAt(0))

  test.each([
    ['UTF-16BE', utf16(true)],
    ['UTF-16LE', utf16(false)],
    ['windows-1252 (not UTF-8)', latin(text)],
    ['UTF-8 (byte order mark)', new TextEncoder().encode(`\ufeff${text}`)],
    ['UTF-8', new TextEncoder().encode(text)],
  ])('%s is decoded, and the keys stay apart', (name, bytes) => {
    const { keys, report } = read(bytes)
    expect(keys).toEqual(['Höhe', 'Hühe'])
    expect(report).toContain(`\n${name}`)
  })

  test('a file that is ASCII for long may end in windows-1252', () => {
    const parser = new CsvParser({}, 'file')
    const items = [
      ...parser.push(latin(`time,key,value\n${lines(9000, n => `a,${n}`)}`)),
      ...parser.push(latin('1700000000,Höhe,1\n')),
      ...parser.end(),
    ]
    expect(items.at(-1)).toMatchObject({ sample: { key: 'Höhe' } })
  })

  test('a byte that is no UTF-8, among UTF-8, costs its line', () => {
    const good = new TextEncoder().encode('time,key,value\n1700000000,Höhe,1\n1700000000,Hühe,2\n')
    const { keys, refused } = read(Uint8Array.from([...good, ...latin('1700000000,H\xf6he,1\n')]))
    expect(keys).toEqual(['Höhe', 'Hühe'])
    expect(refused).toEqual([
      expect.stringContaining('4: the key has characters that are not in the encoding of the file'),
    ])
  })

  test('--encoding decides it', () => {
    expect(read(latin('time,key,value\n1700000000,\xc4\xe0,1\n'), { encoding: 'windows-1251' }).keys).toEqual(['Да'])
    expect(problemOf(text, { encoding: 'utf-64' })).toContain('the encoding utf-64 is unknown')
  })
})

describe('times', () => {
  test.each([
    ['20240101', 'YYYYMMDD'],
    ['20240101120000', 'YYYYMMDDHHmmss'],
    ['202401011200', 'YYYYMMDDHHmm'],
    ['2024010112', 'YYYYMMDDHH'],
    ['202401', 'YYYYMM'],
    ['2024', 'YYYY'],
  ])('%s is ambiguous, and a date with --time-format %s', (time, timeFormat) => {
    const text = `time,value\n${time},1\n`
    expect(problemOf(text)).toContain(`the times in "time" are ambiguous: "${time}" may be a`)
    expect(problemOf(text)).toContain(`--time-format ${timeFormat}`)
    expect(read(text, { timeFormat }).times[0]).toMatch(/^2024-01-01T/)
    expect(read(text, { timeFormat: 'unix' }).samples).toHaveLength(1)
  })

  test.each([
    '45292.5',
    '45292',
    '738000.5',
    '2460310.5',
    '638396640000000000',
    '133485408000000000',
    '08.37',
    '8.37',
    '0830',
    '083000',
    '120000',
  ])('%s is ambiguous', time => {
    expect(problemOf(`time;value\n${time};1\n`)).toContain('the times in "time" are ambiguous: ')
  })

  test('the days of a spreadsheet are read on request', () => {
    expect(read('time;value\n45292,5;1\n', { timeFormat: 'excel' }).times).toEqual(['2024-01-01T12:00:00Z'])
  })

  test.each(['1.70407E+12', '1,7E+09'])('%s was shortened and is refused', time => {
    expect(read(`time;value\n${time};1\n`).refused[0]).toContain('was shortened by a spreadsheet')
  })

  test('a date that does not exist is refused, and the zones of PostgreSQL are read', () => {
    const { times, refused } = read(
      't,value\n2023-02-30T00:00:00Z,1\n2024-01-01 00:00:00+00,2\n2024-01-01 00:00:00-04,3\n',
    )
    expect(times).toEqual(['2024-01-01T00:00:00Z', '2024-01-01T04:00:00Z'])
    expect(refused).toEqual(['2: the time has a date or time that does not exist: "2023-02-30T00:00:00Z"'])
    expect(read('t;value\n31.04.2024;1\n01.05.2024;2\n').refused[0]).toContain('does not exist')
  })

  test.each([
    ['01.02.2024 13:05', '2024-02-01T13:05:00Z'],
    ['1.2.24', '2024-02-01T00:00:00Z'],
    ['13/02/2024 1:05:06 PM', '2024-02-13T13:05:06Z'],
    ['02/13/2024 12:05 a.m.', '2024-02-13T00:05:00Z'],
    ['2024/02/13 00:00:01.5', '2024-02-13T00:00:01.500Z'],
    ['13-Feb-2024 10:00', '2024-02-13T10:00:00Z'],
    ['Feb 13, 2024 10:00:00 am', '2024-02-13T10:00:00Z'],
    ['Tue, 13 Feb 2024 10:00:00 +0100', '2024-02-13T09:00:00Z'],
    ['Tue Feb 13 10:00:00 UTC 2024', '2024-02-13T10:00:00Z'],
    ['13/Feb/2024:10:00:00 +0000', '2024-02-13T10:00:00Z'],
    ['13. Dez. 2024 10:00', '2024-12-13T10:00:00Z'],
    ['13 févr. 2024 10h05', '2024-02-13T10:05:00Z'],
    ['20240213T100000Z', '2024-02-13T10:00:00Z'],
  ])('%s is %s', (text, time) => {
    expect(read(`time;value\n"${text}";1\n`).times).toEqual([time])
  })

  test.each([
    ['DD.MM.YYYY HH:mm:ss', '13.02.2024 10:00:01'],
    ['%d.%m.%Y %H:%M:%S', '13.02.2024 10:00:01'],
    ['dd.MM.yyyy HH:mm:ss', '13.02.2024 10:00:01'],
    ['dd.mm.yyyy hh:mm:ss', '13.02.2024 10:00:01'],
    ['YYYYMMDDHHmmss', '20240213100001'],
    ["yyyy-MM-dd'T'HH:mm:ss", '2024-02-13T10:00:01'],
    ['D MMM YY h:mm:ss A', '13 Feb 24 10:00:01 AM'],
    ['YYYY-MM-DD HH:mm:ss Z', '2024-02-13 11:00:01 +0100'],
  ])('--time-format %s reads %s', (timeFormat, text) => {
    expect(read(`time;value\n${text};1\n`, { timeFormat }).times).toEqual(['2024-02-13T10:00:01Z'])
  })

  test('a name of a unit decides the unit of small numbers, and contradicts a Unix time', () => {
    expect(read('Time (ms),CH1\n0,1\n500,2\n').times).toEqual(['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.500Z'])
    expect(read('Time (s),CH1\n1704067200000,1\n1704067200500,2\n').times[0]).toBe('2024-01-01T00:00:00Z')
    expect(problemOf('Time (ms),CH1\n1704067200,1\n1704067260,2\n')).toContain(
      'is a Unix time in s, and the name says ms; use --time-format unix-s or --time-format unix-ms',
    )
    expect(problemOf('Time (min),CH1\n0,1\n1,2\n')).toContain('count minutes, hours or days; convert them')
  })

  test('a column may name the zone of all times', () => {
    const text = 'time,timezone,value\n2024-01-31 05:00,America/New_York,1\n'
    expect(read(text)).toMatchObject({
      times: ['2024-01-31T10:00:00Z'],
      report: expect.stringContaining('times without a zone are America/New_York'),
    })
    expect(read(text, { zone: 'UTC' }).times).toEqual(['2024-01-31T05:00:00Z'])
    const several = `${text}2024-01-31 05:00,Europe/Berlin,1\n`
    expect(problemOf(several)).toContain('several zones (America/New_York, Europe/Berlin) by the column timezone')
    expect(read('local_time,utc_time,value\n2024-01-31 11:00,2024-01-31 10:00,1\n').times).toEqual([
      '2024-01-31T10:00:00Z',
    ])
  })

  test('a year of two digits may be the first', () => {
    expect(read('time,value\n24-01-30 10:00,1\n24-01-31 10:00,2\n').times[1]).toBe('2024-01-31T10:00:00Z')
    expect(read('time,value\n31-01-24 10:00,1\n31-01-24 10:01,2\n').times[0]).toBe('2024-01-31T10:00:00Z')
    const doubtful = 'time,value\n13-01-24 10:00,1\n13-01-24 10:01,2\n'
    expect(problemOf(doubtful)).toContain('use --time-format DD/MM/YYYY or YY/MM/DD')
    expect(read(doubtful, { timeFormat: 'DD/MM/YYYY' }).times[0]).toBe('2024-01-13T10:00:00Z')
  })

  test('the abbreviation of a zone is read if it has one meaning', () => {
    expect(read('time,value\n2024-07-01 10:00 CEST,1\n').times).toEqual(['2024-07-01T08:00:00Z'])
    expect(problemOf('time,value\n2024-07-01 10:00 IST,1\n')).toContain('no column looks like a time')
  })

  test('day or month first follows from the days, from even steps, or is asked for', () => {
    const days = (text: (n: number) => string) =>
      `Date,Value\n${Array.from({ length: 60 }, (_, n) => `${text(n)},${n}\n`).join('')}`
    expect(read(days(n => `${(n % 28) + 1}/02/2024`)).report).toContain('times as DD/MM/YYYY')
    expect(read(days(n => `1/${1 + Math.floor(n / 24)}/2024 ${n % 24}:00`)).times.at(-1)).toBe('2024-01-03T11:00:00Z')
    const few = 'Date,Value\n01/02/2024,1\n02/02/2024,2\n03/02/2024,3\n'
    expect(problemOf(few)).toContain('may have the day or the month first: "01/02/2024"')
    expect(read(few, { timeFormat: 'MM/DD/YYYY' }).times[1]).toBe('2024-02-02T00:00:00Z')
    const late = `Date,Value\n${'01/01/2024 10:00,1\n'.repeat(3)}02/01/2024 10:00,1\n`
    expect(problemOf(late)).toContain('may have the day or the month first')
  })

  test.each([
    ['1704067200', 'unix-s'],
    ['1704067200.25', 'unix-s'],
    ['1704067200000', 'unix-ms'],
    ['1704067200000000', 'unix-us'],
    ['1704067200000000000', 'unix-ns'],
  ])('the magnitude of %s says %s', (time, name) => {
    const { times, report } = read(`time,value\n${time},1\n`)
    expect(times[0]).toMatch(/^2024-01-01T00:00:00/)
    expect(report).toContain(`times as ${name}`)
  })

  test('times in the past, in the future, backwards, repeated and of several units are worth a warning', () => {
    expect(read('time,value\n0,1\n1,2\n').report).toContain('WARNING: the first sample is of 1970-01-01')
    expect(read('time,value\n20240101120000,1\n', { timeFormat: 'unix' }).report).toContain(
      'WARNING: the last sample is of 2611-',
    )
    expect(read('time,value\n2611-01-01,1\n').report).toContain(
      'WARNING: the last sample is of 2611-01-01, in the future',
    )
    expect(
      read(
        `time,value\n${lines(
          9,
          n => `${n}`,
          n => `${1.7e9 - n}`,
        )}`,
      ).report,
    ).toContain('the newest samples come first')
    expect(
      read(
        `time,value\n${lines(
          9,
          n => `${n}`,
          n => `${1.7e9 + Math.floor(n / 3)}`,
        )}`,
      ).report,
    ).toContain('is a key column missing?')
    expect(read(`time,value\n${lines(9, n => `${n}`)}1704067800000,1\n`).report).toContain(
      '1 of the Unix times have another unit',
    )
    expect(read(`time,value\n${lines(9, n => `${n}`)}${BEGIN / 1000 - 60},1\n`).report).toContain(
      '1 of the samples are late: older than the sample of their key before them (first in line 11)',
    )
    expect(read(`time,value\n${lines(30, () => '7')}`).report).toContain('WARNING: the value is constant: file')
  })

  test('an hour that comes twice is counted, and resolved with --zone', () => {
    const hour = (text: string) =>
      [0, 15, 30, 45].map(minute => `2023-10-29 ${text}:${String(minute).padStart(2, '0')}:00,1\n`).join('')
    const text = `time,value\n${hour('01')}${hour('02')}${hour('02')}${hour('03')}`
    expect(read(text).report).toContain(
      'an hour comes twice, as at the end of summer time: 2023-10-29 02:00; 4 of the samples repeat it',
    )
    const { times, report } = read(text, { zone: 'Europe/Berlin' })
    expect(report).not.toContain('WARNING: an hour')
    expect(report).toContain('times without a zone are Europe/Berlin (8 in an hour that comes twice, by their order)')
    expect(
      times.map(time => Date.parse(time)).every((time, n, all) => n === 0 || time === (all[n - 1] ?? 0) + 900_000),
    ).toBe(true)
    expect(times[0]).toBe('2023-10-28T23:00:00Z')
  })

  test.each([
    ['2024-07-01', true],
    ['2024-07-01 10:00', true],
    ['01.07.2024', true],
    ['2024-07-01T10:00:00+00', false],
    ['20240701T100000-0400', false],
    ['2024-07-01 10:00:00.123 +02:00', false],
    ['Mon, 01 Jul 2024 10:00:00 GMT', false],
    ['Mon Jul  1 10:00:00 UTC 2024', false],
    ['07/01/2024 10:00 AM +02:00', false],
    ['1719828000', false],
  ])('with --zone, %s is a local time: %s', (text, isLocal) => {
    const read1 = (zone?: string) =>
      read(`t;value\n${text};1\n`, { zone, timeFormat: text.startsWith('07/') ? 'mdy' : undefined })
    expect(read1('Asia/Tokyo').times[0] !== read1().times[0]).toBe(isLocal)
  })

  test('a column of offsets belongs to the time', () => {
    const { times, report } = read('date,time,tz,value\n2024-01-01,01:00,+01:00,5\n2024-01-01,03:00,+02:00,6\n')
    expect(times).toEqual(['2024-01-01T00:00:00Z', '2024-01-01T01:00:00Z'])
    expect(report).toContain('time = date + time + tz, value = value')
  })

  test('a damaged time among good ones changes nothing', () => {
    const text = `id,when,temp\n${Array.from({ length: 40 }, (_, n) => `a${n % 2},${n === 9 ? '0' : 1.7e9 + n},${n % 5}\n`).join('')}`
    expect(read(text)).toMatchObject({ keys: ['a0', 'a1'], refused: [] })
    expect(read(text).report).toContain('time = when, value = temp, key = id')
    expect(read(text).report).toContain('WARNING: the first sample is of 1970-01-01')
  })

  test('a time with a leading zero among good ones is refused by itself', () => {
    expect(read(`time,value\n${lines(5, n => `${n}`)}0123,5\n`).refused).toEqual([
      expect.stringContaining('7: the time begins with 0'),
    ])
  })

  test('any text may be a time if its format is given', () => {
    expect(problemOf('month,value\n2024-01,5\n')).toContain(
      'no column looks like a time; the columns are month (2024-01)',
    )
    expect(read('month,value\n2024-02,5\n', { time: ['month'], timeFormat: 'YYYY-MM' }).times).toEqual([
      '2024-02-01T00:00:00Z',
    ])
  })

  test('an hour that comes twice is counted with a sample an hour, too', () => {
    const rows = ['00', '01', '01', '02'].map(hour => `2023-11-05 ${hour}:00:00,1\n`)
    const text = `time,value\n${rows.join('')}`
    expect(read(text).report).toContain('2023-11-05 01:00; 1 of the samples repeat it')
    expect(read(text, { zone: 'America/New_York' }).times).toEqual(
      ['04', '05', '06', '07'].map(hour => `2023-11-05T${hour}:00:00Z`),
    )
  })

  test('an hour that summer time skips does not exist in its zone', () => {
    const text =
      'time,value\n2024-03-31 01:30:00,1\n2024-03-31 02:30:00,2\n2024-03-31 03:30:00,3\n2024-03-31T05:00:00Z,4\n'
    const { times, refused } = read(text, { zone: 'Europe/Berlin' })
    expect(times).toEqual(['2024-03-31T00:30:00Z', '2024-03-31T01:30:00Z', '2024-03-31T05:00:00Z'])
    expect(refused).toEqual([
      '3: the time does not exist in Europe/Berlin, whose clocks are set forward then: "2024-03-31 02:30:00"',
    ])
    expect(problemOf(text, { zone: 'Mars' })).toContain('the time zone Mars is unknown')
  })
})

test.each([
  ['yesterday,1', 'the time is not a known time'],
  [',1', 'the time is missing: ""'],
  ['-5,1', 'the time must not be before 1970'],
  ['1700000000,', 'the value is missing: ""'],
  ['1700000000,NaN', 'the value is missing: "NaN"'],
  ['1700000000,Infinity', 'the value is not a finite number: "Infinity"'],
  ['1700000000,1e999', 'the value is not a finite number: "1e999"'],
  ['1700000000,0x10', 'the value is not a finite number: "0x10"'],
  ['1700000000,1,5', 'it has 3 cells, and there are 2 columns'],
])('the line %s is refused with a reason', (line, reason) => {
  const { samples, refused } = read(`time,value\n1700000000,1\n${line}\n`)
  expect([samples.length, refused.length]).toEqual([1, 1])
  expect(refused[0]).toContain(`3: ${reason}`)
})

test('a key that is too long, or empty, is refused', () => {
  const { refused } = read(`time,key,value\n1700000000,a,1\n1700000000,${'x'.repeat(201)},1\n1700000000,,1\n`)
  expect(refused).toEqual(['3: the key must be at most 200 bytes of UTF-8', '4: the key must not be empty'])
})

test('a time that the gateway could misread as a number is sent as text', () => {
  expect(toBody({ key: 'a', value: 1, timestamp: 1 })).toEqual({
    key: 'a',
    value: 1,
    timestamp: '1970-01-01T00:00:00.001Z',
  })
  expect(toBody({ key: 'a', value: 1, timestamp: BEGIN })).toEqual({ key: 'a', value: 1, timestamp: BEGIN })
})
