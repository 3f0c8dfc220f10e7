/** The steps of adopt.ts on the shape of iredmail: several tables in one parameter, all of them MySQL's. */
import t from 'tap'
import { iredmail, moveThroughOutage } from './adopt.js'

t.test(
  'C142 the same answers before, after, and after switching back, chrooted and not',
  t => moveThroughOutage(t, iredmail),
)
