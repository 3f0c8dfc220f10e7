/** What becomes of each table, for a person who reads for ten seconds. */
import { basename } from 'node:path'
import type { AdoptionPlan } from './draft.js'
import { placeName } from '../postfix/postconf.js'

/** A list of tables as people know them: each mysql: one by the name of its file alone. */
const shortTables = (list: string): string => list.replaceAll(/(?:proxy:)?mysql:[^\s,{}]*\//g, '')

/** Tables at a place of main.cf or master.cf, how many they are, and why they stay, or Postfix's steps do. */
type TablesAt = { readonly place: string, readonly tables: string, readonly count: number, readonly why: string | null }

/** A line for each place, and one for each reason below the places that it is for. */
const placeLines = (all: readonly TablesAt[]): readonly string[] => {
  const reasons = [...new Set(all.map(({ why }) => why))]
  return reasons.flatMap(why => {
    const placed = all.filter(each => each.why === why)
    const lines = [...new Set(placed.map(({ place }) => place))].map(place =>
      `  ${place}: ${placed.filter(each => each.place === place).map(({ tables }) => tables).join(', ')}\n`)
    return why === null ? lines : [...lines, `      ${why}\n`]
  })
}

/** A line of counts, then the tables by their places: first those that don't move, with the reasons. */
export const summaryText = ({ maps, leftAlone }: AdoptionPlan): string => {
  const moved = maps.flatMap(({ files, usedBy, stepsStay }) => usedBy.map((place): TablesAt => ({
    place: placeName(place), tables: files.map(file => basename(file)).join(', '), count: files.length, why: stepsStay,
  })))
  const left = leftAlone.map(({ table, why, ...place }): TablesAt =>
    ({ place: placeName(place), tables: shortTables(table), count: table.match(/mysql:/g)?.length ?? 1, why }))
  const parts = [
    { of: left, verbs: ['stays', 'stay'], title: 'Stay; Postfix goes on asking MySQL:' },
    {
      of: moved.filter(({ why }) => why !== null),
      verbs: ['moves with Postfix\'s steps', 'move with Postfix\'s steps'],
      title: 'Move with Postfix\'s steps; Postfix asks Holdfast for each part of an address or domain:',
    },
    { of: moved.filter(({ why }) => why === null), verbs: ['moves whole', 'move whole'], title: 'Move whole:' },
  ].map(part => ({ ...part, count: part.of.reduce((sum, { count }) => sum + count, 0) }))
    .filter(({ count }) => count > 0)
  const counts = parts.map(({ count, verbs }) => `${count} ${verbs[count === 1 ? 0 : 1]}`).reverse()
  return [
    counts.length === 0 ? '' : `Of the mysql: tables, ${counts.join(', ')}.\n\n`,
    ...parts.flatMap(({ of, title }) => [`${title}\n`, ...placeLines(of), '\n']),
  ].join('')
}
