/**
 * All EncryptionConfigurations of the corpus: some with which kube-apiserver starts, and some with
 * which it exits.
 *
 * @module
 */

import type { Sample } from './build.ts'
import { DECODING } from './decoding.ts'
import { KMS, PROVIDERS, RESOURCES } from './rules.ts'

export const CORPUS: readonly Sample[] = [...DECODING, ...KMS, ...RESOURCES, ...PROVIDERS]
