/** The configuration file's JSON Schema, as editors and the manual page take it: every parameter's name, text form, bounds, default and description. */
import * as z from 'zod'
import { schema } from './schema.js'

/** Draft 2020-12. Durations, sizes and shares stand under `$defs` and are referred to. */
export const jsonSchema = (): z.core.JSONSchema.JSONSchema => ({
  title: 'holdfast.yaml: the configuration of Holdfast',
  ...z.toJSONSchema(schema, {
    // What users write, not what it becomes.
    io: 'input',
    override: ({ jsonSchema: part }) => {
      // zod bounds whole numbers by what a double holds, which tells nobody anything.
      if (part.maximum === Number.MAX_SAFE_INTEGER) delete part.maximum
      if (part.minimum === Number.MIN_SAFE_INTEGER) delete part.minimum
    },
  }),
})
