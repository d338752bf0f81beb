import type fs from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createLineWriter } from './line-writer.ts'

/** A file that takes so many bytes, at most `atOnce` of them in one write. */
class Disk {
  text = ''
  room: number
  atOnce: number
  fault = 'ENOSPC'

  constructor({ room = Number.POSITIVE_INFINITY, atOnce = Number.POSITIVE_INFINITY } = {}) {
    this.room = room
    this.atOnce = atOnce
  }

  writeSync = ((_fd: number, bytes: Buffer): number => {
    const count = Math.min(bytes.length, this.room, this.atOnce)
    if (count === 0) throw Object.assign(new Error(this.fault), { code: this.fault })
    this.room -= count
    this.text += bytes.subarray(0, count)
    return count
  }) as typeof fs.writeSync

  write = ((_fd: number, bytes: Buffer, done: (error: Error | null, written: number) => void): void => {
    setImmediate().then(() => {
      try {
        done(null, this.writeSync(0, bytes))
      } catch (error) {
        done(error as Error, 0)
      }
    })
  }) as unknown as typeof fs.write
}

const linesTo = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => `line ${from + i}\n`)

async function settled(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await setImmediate()
}

test('lines are written in their order, however few bytes a write takes', async () => {
  const disk = new Disk({ atOnce: 3 })
  const writer = createLineWriter(1, disk)
  for (const line of linesTo(5)) writer.write(line)
  expect(disk.text).toBe('')
  await settled()
  for (const line of linesTo(5, 5)) writer.write(line)
  await settled()
  expect(disk.text).toBe(linesTo(10).join(''))
})

test('a flush writes what waits before it returns', () => {
  const disk = new Disk({ atOnce: 3 })
  const writer = createLineWriter(1, disk)
  for (const line of linesTo(5)) writer.write(line)
  writer.flushSync()
  expect(disk.text).toBe(linesTo(5).join(''))
})

test('what a full disk does not take is written with the next line once there is room', async () => {
  const disk = new Disk({ room: 10 })
  const writer = createLineWriter(1, disk)
  for (const line of linesTo(3)) writer.write(line)
  await settled()
  expect(disk.text).toHaveLength(10)
  writer.flushSync()
  expect(disk.text).toHaveLength(10)
  disk.room = 1000
  writer.write('line 3\n')
  await settled()
  expect(disk.text).toBe(linesTo(4).join(''))
})

test('a flush writes what a disk did not take before, and gives up if it is still full', async () => {
  const disk = new Disk({ room: 10 })
  const writer = createLineWriter(1, disk)
  for (const line of linesTo(3)) writer.write(line)
  await settled()
  writer.flushSync()
  disk.room = 1000
  writer.flushSync()
  expect(disk.text).toBe(linesTo(3).join(''))
})

test('beyond 4 MiB lines are dropped, and the others are written once there is room', async () => {
  const disk = new Disk({ room: 0 })
  const writer = createLineWriter(1, disk)
  const lines = Array.from({ length: 60 }, (_, i) => `${String(i).padEnd(99_999)}\n`)
  for (const line of lines) {
    writer.write(line)
    await setImmediate()
  }
  disk.room = Number.POSITIVE_INFINITY
  writer.write('60\n')
  await settled()
  const numbers = disk.text.trimEnd().split('\n').map(Number)
  expect(numbers).toEqual([...Array(41).keys(), 60])
})

test('what no one can read any more is not kept', async () => {
  const disk = new Disk({ room: 0 })
  disk.fault = 'EPIPE'
  const writer = createLineWriter(1, disk)
  writer.write('unread\n')
  await settled()
  disk.room = 1000
  writer.write('read\n')
  await settled()
  expect(disk.text).toBe('read\n')
})

test('what is dropped while other lines are being written is counted once', async () => {
  const disk = new Disk({ room: 0 })
  disk.fault = 'EPIPE'
  const writer = createLineWriter(1, disk)
  const line = `${'x'.repeat(99_999)}\n`
  writer.write(line)
  // Its write begins before the next line is flushed, and ends after it.
  await setImmediate()
  writer.write(line)
  writer.flushSync()
  disk.fault = 'ENOSPC'
  disk.room = line.length
  await settled()
  for (let n = 0; n < 60; n++) writer.write(line)
  await settled()
  disk.room = Number.POSITIVE_INFINITY
  writer.flushSync()
  expect(disk.text.length / line.length).toBe(1 + 41)
})

test('a flush goes on as long as a slow reader makes room', () => {
  const disk = new Disk({ atOnce: 1 })
  disk.fault = 'EAGAIN'
  const { writeSync } = disk
  let calls = 0
  disk.writeSync = ((fd: number, bytes: Buffer) => {
    disk.room = calls++ % 2
    return writeSync(fd, bytes)
  }) as typeof writeSync
  const writer = createLineWriter(1, disk)
  const line = `${'x'.repeat(59)}\n`
  writer.write(line)
  writer.flushSync()
  expect(disk.text).toBe(line)
})

test('a descriptor that has no room for a moment is tried again, without another line', async () => {
  const disk = new Disk({ room: 0 })
  disk.fault = 'EAGAIN'
  const writer = createLineWriter(1, disk)
  for (const line of linesTo(3)) writer.write(line)
  await settled()
  disk.room = 1000
  await expect.poll(() => disk.text).toBe(linesTo(3).join(''))
  disk.room = 0
  writer.write('line 3\n')
  // It gives up after a second.
  writer.flushSync()
  disk.room = 1000
  writer.flushSync()
  expect(disk.text).toBe(linesTo(4).join(''))
})
