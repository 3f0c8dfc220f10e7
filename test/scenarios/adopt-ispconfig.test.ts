/** The steps of adopt.ts on ispconfig's shape: text tables before MySQL's, and access tables in the restrictions. */
import t from 'tap'
import { ispconfig, moveThroughOutage } from './adopt.js'

t.test('the same answers before, after, and after switching back', t => moveThroughOutage(t, ispconfig))
