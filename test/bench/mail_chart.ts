/** The chart of the mail bench: for each way the messages per second, and the queries to MySQL for a message. */
import { ways } from './mail_stage.js'
import type { MailLoad, MailRow } from './mail.js'

type Panel = {
  readonly title: string
  readonly load: MailLoad
  readonly distanceMs: number
  readonly value: (row: MailRow) => number
  readonly digits: number
}

const panels: readonly Panel[] = [
  { title: 'Messages a second, known recipients', load: 'known', distanceMs: 0, value: row => row.perSecond, digits: 0 },
  { title: 'The same, recipients nobody has asked for', load: 'new', distanceMs: 0, value: row => row.perSecond, digits: 0 },
  { title: 'Queries to MySQL for a message, known recipients', load: 'known', distanceMs: 0, value: row => row.statements, digits: 1 },
]

const width = 720
const barHeight = 18
const rowHeight = 24
const titleHeight = 40
const labelWidth = 130
const barWidth = width - labelWidth - 70

const panelText = ({ title, load, distanceMs, value, digits }: Panel, rows: readonly MailRow[], top: number): readonly string[] => {
  const shown = ways.flatMap(way => rows.filter(row => row.way === way && row.load === load && row.distanceMs === distanceMs))
  const largest = Math.max(...shown.map(value), 1e-9)
  return [
    `<text x="0" y="${top + 24}" class="title">${title}</text>`,
    ...shown.flatMap((row, index) => {
      const y = top + titleHeight + index * rowHeight
      const length = Math.max(1, value(row) / largest * barWidth)
      return [
        `<text x="${labelWidth - 8}" y="${y + 13}" text-anchor="end">${row.way}</text>`,
        `<rect x="${labelWidth}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}"`
          + ` class="${row.way.startsWith('Holdfast') ? 'ours' : 'other'}"/>`,
        `<text x="${(labelWidth + length + 6).toFixed(1)}" y="${y + 13}">${value(row).toFixed(digits)}</text>`,
      ]
    }),
  ]
}

/** Draws the rows of a run as an SVG document for a light or a dark page. */
export const mailChart = (rows: readonly MailRow[]): string => {
  const panelHeight = titleHeight + ways.length * rowHeight
  const lines = panels.flatMap((panel, index) => panelText(panel, rows, index * panelHeight))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${panels.length * panelHeight}" font-family="sans-serif" font-size="13">
<style>text { fill: #333 } .title { font-weight: bold } .ours { fill: #2563a8 } .other { fill: #a9b4c0 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .ours { fill: #6aa8e8 } .other { fill: #5b6672 } }</style>
${lines.join('\n')}
</svg>
`
}
