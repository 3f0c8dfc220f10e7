/** What this program uses of ioredis, in a file of its own so that it is loaded only where Redis is configured. */
export { Cluster, Command, Redis } from 'ioredis'
