/** What is wrong or doubtful in a definition, for the operator. */

/** `place` is FILE:LINE, or what else leads to the spot; `text` names the parameter and what would be right. */
export type Problem = { readonly place: string, readonly text: string }
