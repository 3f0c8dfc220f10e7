/** Rows and ratios as text for people. */
import type { Measured } from './load.js'
import type { Row } from './suite.js'

const columns: readonly (readonly [title: string, width: number, show: (row: Row) => string])[] = [
  ['case', -23, row => row.what],
  ['server', -12, row => row.server],
  ['over', -10, row => row.transport],
  ['conns', 6, row => String(row.connections)],
  ['lookups/s', 10, row => row.lookupsPerSecond.toFixed(0)],
  ['CPU µs', 8, row => row.serverCpuUs.toFixed(2)],
  ['behind µs', 10, row => row.behindCpuUs.toFixed(2)],
  ['p50 µs', 9, row => row.p50Us.toFixed(0)],
  ['p99 µs', 9, row => row.p99Us.toFixed(0)],
  ['p99.9 µs', 9, row => row.p999Us.toFixed(0)],
  ['RSS MB', 8, row => (row.residentBytes / 1e6).toFixed(0)],
  ['gen. CPU', 9, row => `${(row.generatorShare * 100).toFixed(0)} %`],
]

const aligned = (text: string, width: number): string => width < 0 ? text.padEnd(-width) : text.padStart(width)

export const heading = columns.map(([title, width]) => aligned(title, width)).join('')
export const line = (row: Row): string => columns.map(([, width, show]) => aligned(show(row), width)).join('')

export type Ratio = { readonly name: string, readonly value: number, readonly aim: string }

/** The ratios for which there are aims, of what was measured. */
export const ratios = (rows: readonly Row[]): readonly Ratio[] => {
  const result: Ratio[] = []
  /** The median of the rounds' ratios, because other programs slow some rounds down. */
  const add = (name: string, row: Row, what: string, server: string, ratio: (own: Measured, other: Measured) => number, aim: string): void => {
    const other = rows.find(each => each.what === what && each.server === server && each.comparison === row.comparison
      && each.transport === row.transport && each.connections === row.connections)
    if (other === undefined) return
    const values = row.rounds.flatMap((own, round) => {
      const against = other.rounds[round]
      return against === undefined ? [] : [ratio(own, against)]
    }).sort((a, b) => a - b)
    const value = values[Math.floor(values.length / 2)]
    if (value !== undefined) result.push({ name: `${name}, ${row.transport}, ${row.connections} connections`, value, aim })
  }
  const cpu = (own: Measured, other: Measured): number => own.serverCpuUs / other.serverCpuUs
  const rate = (own: Measured, other: Measured): number => own.lookupsPerSecond / other.lookupsPerSecond
  for (const row of rows) {
    if (row.server !== 'Holdfast') continue
    switch (row.what) {
      case 'memory hit':
        add('memory hit: CPU to bare Node', row, 'floor', 'bare Node', cpu, 'at most 1.15')
        if (row.connections === 256) add('memory hit: p99 to bare Node', row, 'floor', 'bare Node', (own, other) => own.p99Us / other.p99Us, 'at most 1.2')
        break
      case 'Redis hit':
        add('Redis hit: CPU to memory hit', row, 'memory hit', 'Holdfast', cpu, row.connections === 256 ? 'at most 5' : '')
        break
      case 'MySQL miss':
        add('MySQL miss: lookups/s to plain pool', row, 'floor', 'mysql2 pool', rate, 'at least 0.95')
        add('MySQL miss: CPU to plain pool', row, 'floor', 'mysql2 pool', cpu, '')
        break
      default:
    }
  }
  return result
}

export const ratioLine = ({ name, value, aim }: Ratio): string => `${name.padEnd(64)}${value.toFixed(2).padStart(6)}  ${aim}`
