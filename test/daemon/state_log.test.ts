import t from 'tap'
import { roleMeans } from '../../src/daemon/state_log.js'

t.test('each role has a sentence on what becomes of mail', async t => {
  t.match(roleMeans({ role: 'primary', unknown: 'reject', outage: undefined }), /^primary: this node defers .* can't be looked up, and rejects .* lacks$/)
  t.match(roleMeans({ role: 'primary', unknown: 'defer', outage: undefined }), /defers .* and those that the table lacks: .* next MX$/)
  t.match(roleMeans({ role: 'fallback', unknown: 'reject', outage: 'reject' }), /outage: reject: .* rejects .* and in an outage .* choose outage: defer$/)
  t.match(roleMeans({ role: 'fallback', unknown: 'reject', outage: undefined }), /rejects .* lacks, and defers .* can't be looked up$/)
})
