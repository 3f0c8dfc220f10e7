import t from 'tap'
import { roleMeans } from '../../src/daemon/state_log.js'

t.test('each role has a sentence on what becomes of mail', async t => {
  t.match(roleMeans({ role: 'primary', unknown: 'reject', outage: undefined }), /can't be known is deferred; .* absent is rejected$/)
  t.match(roleMeans({ role: 'primary', unknown: 'defer', outage: undefined }), /absent is deferred too, .* next MX$/)
  t.match(roleMeans({ role: 'fallback', unknown: 'reject', outage: 'reject' }), /outage: reject: .* during an outage too; .* choose outage: defer$/)
  t.match(roleMeans({ role: 'fallback', unknown: 'reject', outage: undefined }), /can't be known during an outage is deferred$/)
})
