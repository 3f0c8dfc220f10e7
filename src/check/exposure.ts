/** What of the configuration others could read: files with passwords, and the status page on a public address. */
import { readFileSync } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import type { Config } from '../config/config.js'
import { filesOf, ownership, readableByOthers } from './access.js'
import type { Finding } from './uses.js'

/** A line of YAML or of a mysql_table(5) file that holds a password itself. */
const passwordLine = /^\s*"?(?:password|sentinel_password)"?\s*[:=]\s*\S/m

const holdsPassword = (file: string): boolean => {
  try {
    return passwordLine.test(readFileSync(file, 'utf8'))
  } catch {
    // Whoever can't read it finds that said elsewhere.
    return false
  }
}

/** Loopback, and the networks that are private (RFC 1918, RFC 4193) or of the link. */
const privateNetworks = new BlockList()
for (const [network, prefix] of [
  ['127.0.0.0', 8], ['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['169.254.0.0', 16], ['100.64.0.0', 10],
] as const) privateNetworks.addSubnet(network, prefix)
for (const [network, prefix] of [['::1', 128], ['fc00::', 7], ['fe80::', 10]] as const) {
  privateNetworks.addSubnet(network, prefix, 'ipv6')
}

const isPrivate = (host: string): boolean => {
  const family = isIP(host)
  return family === 0 ? host === 'localhost' : privateNetworks.check(host, family === 6 ? 'ipv6' : 'ipv4')
}

const healthFinding = ({ health, fileName }: Config): readonly Finding[] => {
  if (health?.kind !== 'inet' || isPrivate(health.host)) return []
  return [{
    level: 'warning', place: fileName,
    text: `health: ${health.host} is no private address: whoever reaches port ${health.port} sees the names of the `
      + 'maps and servers, and how much mail there is. Use 127.0.0.1 or a private address, or close the port to others',
  }]
}

/** Findings about the files of the configuration, and about `health:`. */
export const exposureFindings = (config: Config): readonly Finding[] => [
  ...filesOf(config).flatMap((place): readonly Finding[] => {
    const stats = readableByOthers(place)
    if (stats === null || !holdsPassword(place)) return []
    return [{
      level: 'warning', place,
      text: `it holds a password, and every account can read it (${ownership(stats)}). Give it the group of the `
        + 'daemon and mode 0640',
    }]
  }),
  ...healthFinding(config),
]
