import { executionAsyncResource } from 'node:async_hooks'
import { test } from 'tap'

void test('what runs in a tick of Node\'s is told the object that nextTick made for it: keepTicksQuick is of use only then', async t => {
  const resource = await new Promise<object>(resolve => process.nextTick(() => resolve(executionAsyncResource())))
  t.match(resource, { callback: Function })
  const names = Object.getOwnPropertySymbols(resource).map(symbol => symbol.description)
  t.ok(names.includes('async_id_symbol'), 'with names that are computed: it is of these that V8 forgets how')
})
