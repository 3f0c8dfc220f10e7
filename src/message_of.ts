/** What an error says of itself; whatever else was thrown says nothing. */
export const messageOf = (error: unknown): string => error instanceof Error ? error.message : 'unknown error'

/** What the log says of a bug: with its stack, if it has one. */
export const bugOf = (error: unknown): string => `bug: ${error instanceof Error ? error.stack ?? error.message : 'unknown'}`
