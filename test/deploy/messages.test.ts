/** The guide to operating explains every message of the log: they are read from the source, and none may be missing. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import { guideTable } from '../../deploy/pages/program_page.js'
import { doubtCauses } from '../../src/trust/doubt.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const guide = readFileSync(join(root, 'deploy/guides/operate.md'), 'utf8')

/** The texts that calls in an argument come to. */
const spelled: ReadonlyMap<string, string> = new Map([['bugOf(error)', 'bug: …']])

/** The constant of that name that is nearest around `node`; null for a parameter, whose caller has the text. */
const constant = (name: string, node: ts.Node): ts.Expression | null => {
  for (let around = node.parent as ts.Node | undefined; around !== undefined; around = around.parent) {
    if (ts.isFunctionLike(around) && around.parameters.some(({ name: given }) => given.getText() === name)) return null
    const statements = ts.isBlock(around) || ts.isSourceFile(around) ? around.statements : []
    for (const statement of statements) {
      const declared = ts.isVariableStatement(statement)
        ? statement.declarationList.declarations.find(({ name: given }) => given.getText() === name) : undefined
      if (declared?.initializer !== undefined) return declared.initializer
    }
  }
  throw new Error(`nothing says what ${name} is: ${node.getText()}`)
}

/** The texts that an argument can come to, with … for what varies. */
const textsOf = (node: ts.Expression): readonly string[] => {
  const known = spelled.get(node.getText())
  if (known !== undefined) return [known]
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return [node.text]
  if (ts.isParenthesizedExpression(node)) return textsOf(node.expression)
  if (ts.isConditionalExpression(node)) return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)]
  if (ts.isBinaryExpression(node)) return textsOf(node.left).flatMap(left => textsOf(node.right).map(right => left + right))
  if (ts.isIdentifier(node)) {
    const its = constant(node.text, node)
    return its === null ? [] : textsOf(its)
  }
  if (!ts.isTemplateExpression(node)) throw new Error(`a message of the log has to be written where it is logged: ${node.getText()}`)
  return node.templateSpans.reduce<readonly string[]>((before, { expression, literal }) => {
    const isChoice = ts.isConditionalExpression(expression)
    const middles = isChoice ? textsOf(expression) : ['…']
    return before.flatMap(text => middles.map(middle => text + middle + literal.text))
  }, [node.head.text])
}

/** The texts of all calls of `log.info`, `warn`, `error` and `repeated` in a file. */
const messagesIn = (file: string): readonly string[] => {
  const messages: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const { name, expression } = node.expression
      const text = node.arguments[name.text === 'repeated' ? 1 : 0]
      if (/\blog$/i.test(expression.getText()) && /^(info|warn|error|repeated)$/.test(name.text) && text !== undefined) messages.push(...textsOf(text))
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true))
  return messages
}

const messages = [...new Set(readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts')).flatMap(name => messagesIn(join(root, 'src', name))))]

/** Each message of the table, up to what varies at its end; those of one row stand in back quotes. */
const explained = guideTable(guide, 'Messages').flatMap(([cell = '']) =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text.replace(/^FILE:LINE/, '…').replace(/…$/, '')))

t.test('the guide explains each message of the log', async t => {
  t.ok(messages.length > 40, 'messages were found')
  for (const message of messages) {
    const row = explained.filter(text => message.startsWith(text)).sort((a, b) => b.length - a.length)[0]
    t.ok(row, `deploy/guides/operate.md, Messages, has no row for: ${message}`)
  }
})

t.test('the guide explains no message that there is not', async t => {
  for (const text of explained) t.ok(messages.some(message => message.startsWith(text)), text)
})

t.test('the guide explains each cause of a doubt', async t => {
  for (const cause of Object.values(doubtCauses)) t.match(guide, cause)
})
