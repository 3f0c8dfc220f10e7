/**
 * deploy/guides/messages.md: the messages of the log, the causes of a doubt, the reasons of a deferred lookup and the
 * alerts, each with what it means and what to do. Run as a program, which is `npm run guides`, this writes the page.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { z } from 'zod'
import { packageFile } from '../../src/runtime/package.js'
import type { Explanation } from './explanations.js'
import { readExplanations } from './explanations.js'

const alertsFile = z.object({
  groups: z.array(z.object({ rules: z.array(z.object({
    alert: z.string(), annotations: z.object({ summary: z.string(), description: z.string() }),
  })) })),
})

/** The alerts of Prometheus, of the text of their file: what each says, with … for what varies. */
const alertsOf = (yaml: string): readonly Explanation[] => {
  const plain = (text: string): string =>
    text.replace(/^\{\{ \$labels\.instance \}\}: /, '').replace(/\{\{ .*? \}\}/g, '…').replace(/\.$/, '')
  return alertsFile.parse(parse(yaml)).groups.flatMap(({ rules }) => rules).map(({ alert, annotations }) =>
    ({ texts: [alert], means: plain(annotations.summary), remedy: plain(annotations.description) }))
}

/** A text as code, of which a part may be in back quotes. */
const code = (text: string): string => text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``

const table = (head: string, explanations: readonly Explanation[]): string => [
  `| ${head} | what it means | what to do |`, '|---|---|---|',
  ...explanations.map(({ texts, means, remedy }) => `| ${texts.map(code).join('<br>')} | ${means} | ${remedy} |`),
].join('\n')

/** The page's text. Throws if a message of the log has no explanation. */
export const messagesPage = (): string => {
  const { messages, causes, reasons } = readExplanations()
  return `<!-- \`npm run guides\` made this of src, deploy/pages/messages.yaml and deploy/alerts/holdfast.yaml. -->
# Messages

What Holdfast logs, what Postfix logs of it, and what Prometheus reports: see [Operate](operate.md).

## Log

\`…\` stands for what varies, \`[brackets]\` for what is not always there. Lines on servers, Redis, canaries and the end
of a doubt say how long the last state lasted (\`lasted_ms\`). Repeated warnings come once a minute with a count.

${table('message', messages)}

## Why a table is in doubt

${table('cause', causes)}

## Why a lookup is deferred

The label \`reason\` of \`holdfast_lookups_total\`, and the word after "temporary error:" in Postfix's log:

${table('reason', reasons)}

## Alerts

Of [holdfast.yaml](../alerts/holdfast.yaml), for Prometheus:

${table('alert', alertsOf(readFileSync(packageFile('deploy/alerts/holdfast.yaml'), 'utf8')))}
`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(packageFile('deploy/guides/messages.md'), messagesPage())
}
