/** `holdfast completion`: the script for a shell, and the maps' names that it asks for. */
import type { Command } from 'commander'
import { loadConfig } from '../config/load.js'
import { bashCompletion } from '../manual/completion/bash.js'
import { fishCompletion } from '../manual/completion/fish.js'
import { completed } from '../manual/completion/words.js'
import { zshCompletion } from '../manual/completion/zsh.js'

type Wanted = 'bash' | 'zsh' | 'fish' | 'maps'

/** What to print: for a shell its script, for `maps` the names in that configuration, one a line, none if it has problems. */
export const completion = (program: Command, what: Wanted, config: string, standardConfig: string, environment: NodeJS.ProcessEnv): string => {
  switch (what) {
    case 'bash': return bashCompletion(completed(program, standardConfig))
    case 'zsh': return zshCompletion(completed(program, standardConfig))
    case 'fish': return fishCompletion(completed(program, standardConfig))
    case 'maps': {
      const loaded = loadConfig(config, environment)
      return loaded.ok ? loaded.config.maps.map(({ name }) => `${name}\n`).join('') : ''
    }
    default: return what satisfies never
  }
}
