/** Values of options that are lists, separated by commas. @module */

import { InvalidArgumentError } from 'commander'
import { isBuiltIn, meantBy } from '../tools/kube/resource_names.ts'

interface ResourceRules {
  /** Of every name; where one has another, the command ends with what was wanted. */
  readonly shape: RegExp
  readonly wanted: string
  /** The name of the resource that somebody means who writes another word. */
  readonly meant: (name: string) => string | undefined
  /** @throws InvalidArgumentError for a name that is refused for another reason */
  readonly check?: (name: string) => void
}

/** Without the spaces around them. */
export function commaList(text: string): string[] {
  return text.split(',').map((each) => each.trim())
}

/** A reader of names of resources. */
export function resourceList({ shape, wanted, meant, check }: ResourceRules) {
  return (text: string): readonly string[] => {
    const names = commaList(text)
    if (!names.every((name) => shape.test(name))) throw new InvalidArgumentError(wanted)
    for (const name of names) {
      const other = meant(name)
      if (other !== undefined) {
        throw new InvalidArgumentError(`${name}: the resource is called ${other}`)
      }
      check?.(name)
    }
    return names
  }
}

/** As an EncryptionConfiguration or keys in etcd have them. */
export const resourceNames = resourceList({
  shape: /^(?:\*|\*\.|(?:\*\.)?[a-z0-9.-]+|\*\.\*)$/i,
  wanted: 'Wanted names with commas between: secrets,widgets.example.org',
  meant: (name) => (isBuiltIn(name) ? undefined : meantBy(name)),
})
