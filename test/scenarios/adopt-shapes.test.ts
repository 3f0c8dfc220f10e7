/**
 * The steps of adopt.ts on the shapes of other mail server projects, one after
 * the other on one MariaDB: what is odd in each main.cf, Postfix answers the
 * same with it before, after and after switching back.
 */
import t from 'tap'
import { startMariadb } from '../fixtures/mariadb.js'
import { moveOverAndBack, schema, startBed } from './adopt.js'
import { shapes } from './adopt_shapes.js'

const mariadb = await startMariadb({ sql: schema })
t.teardown(() => mariadb.stop())

for (const shape of shapes) {
  t.test(
    `${shape.name}: the same answers before, after, and after switching back`,
    async t => moveOverAndBack(t, await startBed(t, shape, mariadb)),
  )
}
