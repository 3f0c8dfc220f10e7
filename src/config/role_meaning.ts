/** What a node's role means for mail, in a sentence for the log. */
import type { ConfigFile } from './schema.js'

/** The meaning of `role`, `unknown` and `outage` together. */
export const roleMeans = ({ role, unknown, outage }: Pick<ConfigFile, 'role' | 'unknown' | 'outage'>): string => {
  switch (role) {
    case 'primary':
      return 'role primary: what can\'t be known is deferred; a recipient that the table says is absent is '
        + (unknown === 'defer' ? 'deferred too, so that the sender goes on to the next MX' : 'rejected')
    case 'fallback':
      return outage === 'reject'
        ? 'role fallback, outage: reject: a recipient that is neither in MySQL nor in the cache is rejected, '
          + 'during an outage too; if this node shares its database with the primaries, choose outage: defer'
        : 'role fallback, outage: defer: a recipient that the table says is absent is rejected; '
          + 'what can\'t be known during an outage is deferred'
    default: return role satisfies never
  }
}
