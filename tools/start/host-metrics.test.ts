import { describe, expect, test } from 'vitest'
import { CpuLoad, cpuTimes, diskTraffic, networkTraffic, Rate, runningTasks } from './host-metrics.ts'

const STAT = `cpu  100 0 50 800 50 0 0 0 0 0
cpu0 60 0 20 400 20 0 0 0 0 0
cpu1 40 0 30 400 30 0 0 0 0 0
intr 12345 0 9
ctxt 99
`

describe('CPU load', () => {
  test('is the share of time that was neither idle nor waiting for I/O', () => {
    const load = new CpuLoad()
    expect(load.next(cpuTimes(STAT))).toEqual({})
    const later = STAT.replace('cpu0 60 0 20 400 20', 'cpu0 65 0 20 413 22')
    expect(load.next(cpuTimes(later))).toEqual({ 'cpu.0': 25 })
  })

  test('stays within 0 to 100 when the idle time decreases', () => {
    const load = new CpuLoad()
    load.next([{ name: 'cpu.0', idle: 100, all: 200 }])
    expect(load.next([{ name: 'cpu.0', idle: 99, all: 210 }])).toEqual({ 'cpu.0': 100 })
  })

  test('has no value for a new core', () => {
    const load = new CpuLoad()
    load.next([{ name: 'cpu.0', idle: 1, all: 2 }])
    expect(load.next([{ name: 'cpu.1', idle: 1, all: 2 }])).toEqual({})
  })
})

const NET = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
  eth0: 336088546    7995    0    0    0     0          0         0   506864    4988    0    0    0     0       0          0
  eth1:1000      1    0    0    0     0          0         0   24    1    0    0    0     0       0          0
`

test('network traffic is the sum of the named interfaces, or of all but the loopback', () => {
  expect(networkTraffic(NET, ['eth1'])).toEqual({ inBytes: 1000, outBytes: 24 })
  expect(networkTraffic(NET, [])).toEqual({ inBytes: 336_089_546, outBytes: 506_888 })
})

test('disk traffic counts whole disks, in bytes', () => {
  const text = ' 254 0 vda 100 5 2000 9 50 5 600 9 0 9 9\n 254 1 vda1 90 5 1900 9 50 5 600 9 0 9 9\n'
  expect(diskTraffic(text, ['vda'])).toEqual({ inBytes: 2000 * 512, outBytes: 600 * 512 })
})

test('tasks are read from the fourth field of /proc/loadavg', () => {
  expect(runningTasks('0.20 0.18 0.12 3/80 11206\n')).toEqual({ 'tasks.running': 3, 'tasks.total': 80 })
  expect(runningTasks('')).toEqual({})
})

describe('a rate', () => {
  test('is in bytes a second since the last call', () => {
    const rate = new Rate('in', 'out')
    expect(rate.next({ inBytes: 1000, outBytes: 0 }, 0)).toEqual({})
    expect(rate.next({ inBytes: 1500, outBytes: 100 }, 250)).toEqual({ in: 2000, out: 400 })
  })

  test('has no value after a counter decreased', () => {
    const rate = new Rate('in', 'out')
    rate.next({ inBytes: 1000, outBytes: 0 }, 0)
    expect(rate.next({ inBytes: 10, outBytes: 0 }, 250)).toEqual({})
    expect(rate.next({ inBytes: 20, outBytes: 0 }, 500)).toEqual({ in: 40, out: 0 })
  })
})
