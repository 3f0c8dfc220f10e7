/** What this program takes of ioredis, apart from the rest so that it is read only where there is a Redis. */
export { Cluster, Command, Redis } from 'ioredis'
