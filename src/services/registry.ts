/**
 * All providers by their type, in one literal table that the compiler checks. A new type is one
 * more line here.
 *
 * @module
 */

import * as v from 'valibot'
import { FOREIGN_FORMS, type ForeignFormName } from '../takeover/forms.ts'
import { awsKmsDescriptor } from './aws/descriptor.ts'
import { azureKmsDescriptor } from './azure/descriptor.ts'
import { gcpKmsDescriptor } from './google/descriptor.ts'
import { localDescriptor } from './local/descriptor.ts'
import type { ProviderDescriptor } from './provider_descriptor.ts'
import { vaultDescriptor } from './vault/descriptor.ts'

const PROVIDERS = {
  vault: vaultDescriptor,
  awskms: awsKmsDescriptor,
  azurekms: azureKmsDescriptor,
  gcpkms: gcpKmsDescriptor,
  local: localDescriptor,
} as const

export type ProviderType = keyof typeof PROVIDERS
export type ProviderConfig = v.InferOutput<(typeof PROVIDERS)[ProviderType]['config']>

export const PROVIDER_TYPES = Object.keys(PROVIDERS) as ProviderType[]

export const providerConfig = v.pipe(
  v.variant(
    'type',
    PROVIDER_TYPES.map((type) => PROVIDERS[type].config),
  ),
  v.forward(
    v.check(
      ({ type, reads = [] }: ProviderConfig) =>
        reads.every((form) => formsOpenedBy(type).includes(form)),
      ({ input }) => formsWanted(input.type),
    ),
    ['reads'],
  ),
)

export function descriptorOf({
  type,
}: {
  readonly type: ProviderType
}): ProviderDescriptor<ProviderConfig> {
  return PROVIDERS[type]
}

/** In the order in which messages list them. */
export function formsOpenedBy(type: ProviderType): readonly ForeignFormName[] {
  const { opens } = descriptorOf({ type })
  return FOREIGN_FORMS.filter((form) => opens.includes(form))
}

function formsWanted(type: ProviderType): string {
  const opened = formsOpenedBy(type)
  if (opened.length === 0) return `no forms: no other plugin used what type ${type} is`
  return `forms that type ${type} opens: ${opened.join(', ')}`
}
