/**
 * The messages of the log as src has them: the text of each call of `log.info`, `warn`, `error` and `repeated`, with …
 * for what varies and [brackets] around what is not always there. A text has to be written where it is logged, or in a
 * constant near it.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { packageFile } from '../../src/runtime/package.js'

/** The texts that calls in an argument come to. */
const textByCall: ReadonlyMap<string, string> = new Map([['bugOf(error)', 'bug: …']])

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

/** What an expression in a template can come to: a choice between something and nothing is optional. */
const variants = (expression: ts.Expression): readonly string[] => {
  if (!ts.isConditionalExpression(expression)) return ['…']
  const choices = textsOf(expression)
  const [only, ...others] = choices.filter(text => text !== '')
  return choices.includes('') && only !== undefined && others.length === 0 ? [`[${only}]`] : choices
}

/** The texts that an argument can come to. */
const textsOf = (node: ts.Expression): readonly string[] => {
  const known = textByCall.get(node.getText())
  if (known !== undefined) return [known]
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return [node.text]
  if (ts.isParenthesizedExpression(node)) return textsOf(node.expression)
  if (ts.isConditionalExpression(node)) return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)]
  if (ts.isBinaryExpression(node)) {
    return textsOf(node.left).flatMap(left => textsOf(node.right).map(right => left + right))
  }
  if (ts.isIdentifier(node)) {
    const its = constant(node.text, node)
    return its === null ? [] : textsOf(its)
  }
  if (!ts.isTemplateExpression(node)) {
    throw new Error(`a message of the log has to be written where it is logged: ${node.getText()}`)
  }
  return node.templateSpans.reduce<readonly string[]>((before, { expression, literal }) =>
    before.flatMap(text => variants(expression).map(middle => text + middle + literal.text)), [node.head.text])
}

const messagesIn = (file: string): readonly string[] => {
  const messages: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const { name, expression } = node.expression
      const text = node.arguments[name.text === 'repeated' ? 1 : 0]
      const isLogged = /\blog$/i.test(expression.getText()) && /^(info|warn|error|repeated)$/.test(name.text)
      if (isLogged && text !== undefined) messages.push(...textsOf(text))
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true))
  return messages.map(text => text.replace(/…{2,}/g, '…'))
}

/** Each once, in the order of the files. Throws, with the code, if it can't read a text out of a call. */
export const logMessages = (): readonly string[] => {
  const src = fileURLToPath(packageFile('src'))
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts')).sort()
  return [...new Set(files.flatMap(name => messagesIn(join(src, name))))]
}
