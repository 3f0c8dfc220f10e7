import t from 'tap'
import { duration, share, size } from '../../src/config/units.js'

const durations: readonly (readonly [string | number, number])[] = [
  ['300ms', 300], ['2s', 2_000], ['5m', 300_000], ['1h', 3_600_000], ['7d', 604_800_000], ['1w', 604_800_000], ['0.5s', 500],
  [2, 2_000], ['2', 2_000], [0, 0], [' 10 s ', 10_000],
  ['3650d', 315_360_000_000],
]
for (const [given, ms] of durations) t.equal(duration.parse(given), ms, `'${given}' is ${ms} ms`)

const sizes: readonly (readonly [string | number, number])[] = [
  ['64M', 67_108_864], ['64MiB', 67_108_864], ['64mb', 67_108_864], ['1k', 1_024], ['1.5G', 1_610_612_736], [512, 512], ['512', 512], ['512b', 512],
]
for (const [given, bytes] of sizes) t.equal(size.parse(given), bytes, `'${given}' is ${bytes} bytes`)

const shares: readonly (readonly [string | number, number])[] = [['30%', 0.3], [0.3, 0.3], ['100%', 1], [1, 1], [0, 0], ['12.5 %', 0.125]]
for (const [given, part] of shares) t.equal(share.parse(given), part, `'${given}' is ${part}`)

for (const given of ['', 's', '5 minutes', '-1s', '1e3', '5m30s', '3651d', Infinity, NaN, true, null]) t.notOk(duration.safeParse(given).success, `'${String(given)}' is no duration`)
for (const given of ['', '5 quarts', '-1', '1T', '1kk', true]) t.notOk(size.safeParse(given).success, `'${String(given)}' is no size`)
for (const given of ['', '130%', '-1%', 1.1, 'half', true]) t.notOk(share.safeParse(given).success, `'${String(given)}' is no share`)
