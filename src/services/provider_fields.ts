/** The keys that every provider's config has. @module */

import * as v from 'valibot'
import { FOREIGN_FORMS } from '../takeover/forms.ts'

const providerId = v.pipe(
  v.string(),
  v.regex(/^[\w:/.@-]{1,128}$/, '1 to 128 letters, digits and ":/.@-_"'),
)

/** The rule for names that are shown in metrics, for messages. */
export const LABEL = '1 to 63 small letters, digits and "-", with a letter or digit at both ends'

export const providerFields = {
  name: v.pipe(
    v.string(),
    v.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, LABEL),
    v.description('Name of your choice, in lower case; shown in logs and metrics'),
  ),
  id: v.optional(
    v.pipe(
      providerId,
      v.description('Identity of the key that never changes; derived from the key where absent'),
    ),
  ),
  formerIds: v.optional(
    v.pipe(
      v.array(providerId),
      v.maxLength(16),
      v.description('Ids that the same key had before: what was written under them stays readable'),
    ),
  ),
  decryptOnly: v.optional(
    v.pipe(
      v.boolean(),
      v.description('Only read, never written to: the way into and out of a provider'),
    ),
  ),
  activeFrom: v.optional(
    v.pipe(
      v.string(),
      v.isoTimestamp('a time such as "2026-12-01T06:00:00Z"'),
      v.description('Only read before this time, so that all nodes begin to write together'),
      v.transform((text) => Date.parse(text)),
    ),
  ),
  reads: v.optional(
    v.pipe(
      v.array(v.picklist(FOREIGN_FORMS)),
      v.minLength(1, 'at least one form'),
      v.check((forms) => new Set(forms).size === forms.length, 'each form once'),
      v.description('What other KMS plugins wrapped with this key and is to be read too'),
    ),
  ),
}
