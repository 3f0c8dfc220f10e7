/**
 * The reason in an error reply, as Postfix will write it to the mail log.
 * It may quote an error of MySQL or the name of a map that a peer made up.
 */

/** Postfix logs 200 characters of it. */
export const maxReasonBytes = 200

/** `text` on one line of printable ASCII, at most `maxReasonBytes`; a `?` stands for each code unit that is neither. */
export const printableReason = (text: string): string =>
  text.slice(0, maxReasonBytes).replace(/[^\x20-\x7e]/g, '?')
