/** The list of a map's keys: as its query gives it, or by a query of the administrator's. */
import { columnsSql, listingOf, orderedListing } from '../tables/ordered_listing.js'
import type { OrderedListing } from '../tables/ordered_listing.js'
import type { Table } from '../tables/open.js'

const budgetMs = 5_000

/** `warm` is `auto` or a query, whose columns the server is asked for. A text says why there is no list. Never rejects. */
export const listOf = async ({ definition, database }: Table, warm: string): Promise<OrderedListing | string> => {
  if (warm === 'auto') return typeof definition.listing === 'string' ? definition.listing : orderedListing(definition.listing)
  const answer = await database.ask({ texts: [columnsSql(warm)] }, [], budgetMs)
  return answer.kind === 'unavailable' ? answer.detail : listingOf(warm, answer.columns.map(({ name }) => name))
}
