/** All faults, of every layer. @module */

import type { Fault } from './fault.ts'
import { KMS_FAULTS } from './kms.ts'
import { LOWER_FAULTS } from './lower.ts'
import { SIGNER_FAULTS } from './signer.ts'
import { UPPER_FAULTS } from './upper.ts'

export const FAULTS: readonly Fault[] = [
  ...LOWER_FAULTS,
  ...KMS_FAULTS,
  ...SIGNER_FAULTS,
  ...UPPER_FAULTS,
]
