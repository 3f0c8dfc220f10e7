import t from 'tap'
import { readPage } from '../../src/admin/http.js'

/** The colours of a scheme, by name; the dark one is the second. */
const [light, dark] = [...readPage().html.matchAll(/:root \{([^}]*)\}/g)].map(([, rules = '']) =>
  new Map([...rules.matchAll(/--(\w+): (#[0-9a-f]+)/g)].map(([, name = '', colour = '']) => [name, colour])))

/** Relative luminance and contrast as WCAG 2.2 has them. */
const luminance = (colour: string): number => {
  const digits = colour.length === 4 ? colour.replaceAll(/[0-9a-f]/g, '$&$&') : colour
  const [red = 0, green = 0, blue = 0] = (digits.match(/[0-9a-f]{2}/g) ?? []).map(pair => {
    const part = parseInt(pair, 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
const contrast = (one: string, other: string): number => {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (high + 0.05) / (low + 0.05)
}

for (const [scheme, colours] of [['light', light], ['dark', dark]] as const) {
  t.test(`${scheme}: text and bars stand out from what is behind them`, t => {
    const of = (name: string): string => colours?.get(name) ?? 'none'
    // On a card; soft text is on the page itself, too. Large text (the headline) and graphics need 3.
    for (const [name, behind, least] of [
      ['ink', 'card', 4.5], ['ink', 'back', 4.5], ['soft', 'card', 4.5], ['soft', 'back', 4.5],
      ['degraded', 'card', 4.5], ['bad', 'card', 4.5],
      ['well', 'card', 3], ['bar', 'card', 3], ['miss', 'card', 3], ['stale', 'card', 3], ['fail', 'card', 3],
    ] as const) {
      const ratio = contrast(of(name), of(behind))
      t.ok(ratio >= least, `${name} on ${behind}: ${ratio.toFixed(2)}`)
    }
    t.end()
  })
}
