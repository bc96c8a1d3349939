/** What every provider's config has. @module */

import * as v from 'valibot'

export const providerFields = {
  name: v.pipe(
    v.string(),
    v.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/),
    v.description('Name of your choice, in lower case; shown in logs and metrics'),
  ),
  id: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^[\w:/.@-]{1,128}$/),
      v.description('Identity of the key that never changes; derived from the key where absent'),
    ),
  ),
}
