/** Rows and ratios as text for people. */
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

/** The comparisons that have an aim, of whatever was measured. */
export const ratios = (rows: readonly Row[]): readonly Ratio[] => {
  const result: Ratio[] = []
  const find = (like: Row, what: string, server: string): Row | undefined =>
    rows.findLast(row => row.what === what && row.server === server
      && row.transport === like.transport && row.connections === like.connections)
  const add = (name: string, row: Row, value: number | undefined, aim: string): void => {
    if (value !== undefined) result.push({ name: `${name}, ${row.transport}, ${row.connections} connections`, value, aim })
  }
  const seen = new Set<string>()
  for (const row of rows) {
    const id = [row.what, row.server, row.transport, row.connections].join()
    if (row.server !== 'Holdfast' || seen.has(id)) continue
    seen.add(id)
    switch (row.what) {
      case 'memory hit': {
        const floor = find(row, 'floor', 'bare Node')
        add('memory hit: CPU to bare Node', row, floor && row.serverCpuUs / floor.serverCpuUs, 'at most 1.15')
        if (row.connections === 256) add('memory hit: p99 to bare Node', row, floor && row.p99Us / floor.p99Us, 'at most 1.2')
        break
      }
      case 'memory hit, 2 workers': {
        const one = find(row, 'memory hit', 'Holdfast')
        add('2 workers: lookups/s to one process', row, one && row.lookupsPerSecond / one.lookupsPerSecond, 'at least 1.8 with cores to spare')
        add('2 workers: CPU to one process', row, one && row.serverCpuUs / one.serverCpuUs, '')
        break
      }
      case 'Redis hit': {
        const hit = find(row, 'memory hit', 'Holdfast')
        add('Redis hit: CPU to memory hit', row, hit && row.serverCpuUs / hit.serverCpuUs, row.connections === 256 ? 'at most 5' : '')
        break
      }
      case 'MySQL miss': {
        const pool = find(row, 'floor', 'mysql2 pool')
        add('MySQL miss: lookups/s to plain pool', row, pool && row.lookupsPerSecond / pool.lookupsPerSecond, 'at least 1')
        break
      }
      default:
    }
  }
  return result
}

export const ratioLine = ({ name, value, aim }: Ratio): string => `${name.padEnd(64)}${value.toFixed(2).padStart(6)}  ${aim}`
