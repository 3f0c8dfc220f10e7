/** The JSON Schema of the configuration file: each parameter's name, text form, bounds, default and description. */
import * as z from 'zod'
import { schema } from '../../src/config/schema.js'

/** Draft 2020-12. Durations, sizes and shares are under `$defs`. */
export const jsonSchema = (): z.core.JSONSchema.JSONSchema => ({
  title: 'holdfast.yaml: the configuration of Holdfast',
  ...z.toJSONSchema(schema, {
    // What users write, not what the program makes of it.
    io: 'input',
    override: ({ jsonSchema: part }) => {
      // zod bounds each whole number by what a double holds; a reader has no use for that.
      if (part.maximum === Number.MAX_SAFE_INTEGER) delete part.maximum
      if (part.minimum === Number.MIN_SAFE_INTEGER) delete part.minimum
    },
  }),
})
