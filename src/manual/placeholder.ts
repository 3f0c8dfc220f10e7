/** The value of an option as its help calls it. */
import type { Option } from 'commander'

/** `FILE` of `--config <FILE>`; undefined for an option without a value. */
export const placeholderOf = ({ flags }: Option): string | undefined => /[<[](.*)[>\]]/.exec(flags)?.[1]
