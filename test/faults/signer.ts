/** Faults of what signs tokens. @module */

import type { Fault } from './fault.ts'

export const SIGNER_FAULTS: readonly Fault[] = [
  {
    title: 'a signature is handed on unchecked',
    file: 'signer/signer.ts',
    from: 'if (signed?.ok && (await verifies(version, input, signed.value))) return signed',
    to: 'if (signed?.ok) return signed',
    by: 'signer/signer',
  },
  {
    title: 'a version made again under its old name is taken up',
    file: 'signer/known_versions.ts',
    from: '  if (replaced.length > 0) return',
    to: '  if (replaced.length > 99) return',
    by: 'signer/known_versions',
  },
  {
    title: 'a version that is gone makes way by itself',
    file: 'signer/key_set.ts',
    from: 'const able = own.filter(({ maySign }) => maySign !== false)',
    to: 'const able = own.filter(({ maySign, present }) => maySign !== false && present !== false)',
    by: 'signer/known_versions',
  },
  {
    title: 'a key is published no more while its tokens are good',
    file: 'signer/key_set.ts',
    from: 'now > supersededAt + longestLifeMs + MARGIN_MS',
    to: 'now > supersededAt',
    by: 'signer/known_versions',
  },
  {
    title: 'a distrusted key is published',
    file: 'signer/known_versions.ts',
    from: '!rules.distrusted.has(kid)',
    to: "kid !== '' && rules.distrusted.size < 99",
    by: 'signer/known_versions',
  },
  {
    title: 'a short RSA key signs tokens',
    file: 'signer/verification_key.ts',
    from: 'const MIN_RSA_BITS = 2048',
    to: 'const MIN_RSA_BITS = 512',
    by: 'signer/verification_key',
  },
]
