/** What people read in log and mail log, with what it means and what to do: the texts from src, the rest from YAML. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { z } from 'zod'
import { reasons } from '../../src/outcome.js'
import { packageFile } from '../../src/runtime/package.js'
import { doubtCauses } from '../../src/trust/doubt.js'
import { logMessages } from './log_messages.js'

const meaning = { means: z.string(), remedy: z.string() }
const causes = Object.keys(doubtCauses) as (keyof typeof doubtCauses)[]

/** The shape of messages.yaml. A record with an enum for its keys has to have them all, and no other. */
const explanationsFile = z.strictObject({
  messages: z.array(z.strictObject({ of: z.array(z.string()).min(1), ...meaning })),
  causes: z.record(z.enum(causes), z.strictObject(meaning)),
  reasons: z.record(z.enum(reasons), z.strictObject(meaning)),
})

/** What all of `texts` mean, and what to do. */
export type Explanation = { readonly texts: readonly string[], readonly means: string, readonly remedy: string }

export type Explanations = {
  readonly messages: readonly Explanation[]
  readonly causes: readonly Explanation[]
  readonly reasons: readonly Explanation[]
}

/** The longest beginning that fits: the more of a text one says, the closer it explains it. */
const beginningOf = (text: string, beginnings: readonly string[]): string | undefined => beginnings
  .filter(beginning => text.startsWith(beginning.replace(/…$/, ''))).sort((a, b) => b.length - a.length)[0]

/**
 * Each of `texts`, the messages of the log, with its explanation in `yaml`, the text of messages.yaml. Throws if a
 * message has none, or an explanation is of no message.
 */
export const explain = (texts: readonly string[], yaml: string): Explanations => {
  const file = explanationsFile.parse(parse(yaml))
  const beginnings = file.messages.flatMap(({ of }) => of)
  const textsOf = (beginning: string | undefined): readonly string[] =>
    texts.filter(text => beginningOf(text, beginnings) === beginning)
  const faults = [
    ...textsOf(undefined).map(text => `messages.yaml does not explain the message of the log: ${text}`),
    ...beginnings.filter(beginning => textsOf(beginning).length === 0)
      .map(beginning => `messages.yaml explains a message that src does not log: ${beginning}`),
  ]
  if (faults.length > 0) throw new Error(faults.join('\n'))
  return {
    messages: file.messages.map(({ of, ...rest }) => ({ texts: of.flatMap(textsOf), ...rest })),
    causes: causes.map(cause => ({ texts: [doubtCauses[cause]], ...file.causes[cause] })),
    reasons: reasons.map(reason => ({ texts: [reason], ...file.reasons[reason] })),
  }
}

/** The explanations of what src logs and answers today. Throws if one is missing, or explains nothing. */
export const readExplanations = (): Explanations =>
  explain(logMessages(), readFileSync(packageFile('deploy/pages/messages.yaml'), 'utf8'))
